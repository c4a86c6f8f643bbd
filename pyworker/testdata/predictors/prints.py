"""Prints in all ways: lines, no line feed, from C, bad UTF-8, surrogates."""

import os
import sys


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        print("from Python \ud800")
        print("to stderr", file=sys.stderr)
        print("x" * 100000)
        os.write(1, b"from C \xff\n")
        os.write(1, b"y" * 300000)
        return instances
