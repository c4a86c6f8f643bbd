"""Returns from predict twice."""

import os


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        os.fork()
        return [os.getpid() for _ in instances]
