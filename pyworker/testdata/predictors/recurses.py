"""Has next to no stack, and then too much."""

import sys


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        sys.setrecursionlimit(200)
        return cls()

    def predict(self, instances, **kwargs):
        sys.setrecursionlimit(10 ** 6)
        return instances
