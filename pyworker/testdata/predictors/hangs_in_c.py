"""Holds the interpreter in C for the instance "bad"."""

import ctypes


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        if "bad" in instances:
            ctypes.PyDLL(None).sleep(1000)
        return instances
