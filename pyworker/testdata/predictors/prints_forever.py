"""Prints without end."""

import os
import threading


def flood():
    while True:
        os.write(1, b"flood " * 1000)
        os.write(2, b"flood\n" * 1000)


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        threading.Thread(target=flood, daemon=True).start()
        return cls()

    def predict(self, instances, **kwargs):
        return instances
