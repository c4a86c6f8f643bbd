"""Calls sys.exit in predict."""

import sys


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        sys.exit("enough")
