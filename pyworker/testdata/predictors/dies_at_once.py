"""Dies soon after it is loaded, also where a busy machine takes its time to say that it is."""

import os
import threading


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        threading.Timer(0.3, os._exit, (9,)).start()
        return cls()

    def predict(self, instances, **kwargs):
        return instances
