"""Dies as soon as it is loaded."""

import os
import threading


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        threading.Timer(0.02, os._exit, (9,)).start()
        return cls()

    def predict(self, instances, **kwargs):
        return instances
