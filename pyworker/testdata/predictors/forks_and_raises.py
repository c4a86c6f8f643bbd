"""Returns from predict once and raises once."""

import os


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        if os.fork() == 0:
            raise ValueError("the child")
        return instances
