"""Exits without a word for the instance "bad"."""

import os


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        if "bad" in instances:
            os._exit(7)
        return instances
