"""Never returns for the instance "bad"."""

import threading
import time


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        if "bad" in instances:
            self.wait()
        return instances

    def wait(self):
        threading.Thread(target=time.sleep, args=(1000,)).start()
        while True:
            time.sleep(1000)
