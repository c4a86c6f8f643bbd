"""Calls sys.exit when it is imported."""

import sys

sys.exit(4)


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return instances
