"""Closes all descriptors, and opens others."""

import os


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        os.closerange(3, 65536)
        return cls()

    def predict(self, instances, **kwargs):
        os.closerange(0, 65536)
        self.kept = [os.open("/dev/null", os.O_RDWR) for _ in range(300)]
        return instances
