"""Loads once, and never again."""

import os


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        os.close(os.open(os.path.join(model_dir, "once"), os.O_CREAT | os.O_EXCL))
        return cls()

    def predict(self, instances, **kwargs):
        os._exit(1)
