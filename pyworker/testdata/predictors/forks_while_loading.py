"""Returns from from_path twice."""

import os


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        os.fork()
        return cls()

    def predict(self, instances, **kwargs):
        return instances
