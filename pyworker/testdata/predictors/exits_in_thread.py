"""Calls sys.exit in threads."""

import sys
import threading


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        threads = [threading.Thread(target=sys.exit, args=(3,)) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return instances
