"""Is killed as by the kernel for memory, for the instance "bad"."""

import os
import signal


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        if "bad" in instances:
            os.kill(os.getpid(), signal.SIGKILL)
        return instances
