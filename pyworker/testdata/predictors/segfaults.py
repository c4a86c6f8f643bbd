"""Reads from address 0 for the instance "bad"."""

import ctypes


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        if "bad" in instances:
            ctypes.string_at(0)
        return instances
