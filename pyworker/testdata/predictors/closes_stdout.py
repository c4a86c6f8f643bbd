"""Closes and replaces the streams."""

import sys


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        if sys.stdout:
            print("still here")
            sys.stdout.close()
            sys.stderr.close()
        sys.stdout = None
        return instances
