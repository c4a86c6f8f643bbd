"""Dies when it has answered."""

import os
import threading


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        threading.Timer(0.02, os._exit, (9,)).start()
        return instances
