"""Prints one line that has no end."""

import os


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        for _ in range(32):
            os.write(1, b"endless " * (1 << 17))
        return instances
