"""Lies in a package without an __init__.py."""

import spaces


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return [[spaces.__file__ if hasattr(spaces, "__file__") else None, sorted(kwargs)] for _ in instances]
