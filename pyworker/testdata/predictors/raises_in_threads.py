"""Has threads that raise."""

import threading


def fail():
    raise ValueError("in a thread")


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        threads = [threading.Thread(target=fail) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return instances
