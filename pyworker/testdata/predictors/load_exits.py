"""Exits in from_path."""

import os
import sys


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        print("giving up", file=sys.stderr)
        os._exit(5)

    def predict(self, instances, **kwargs):
        return instances
