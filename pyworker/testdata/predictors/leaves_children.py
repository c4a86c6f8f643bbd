"""Starts children that outlive it and hold its streams."""

import subprocess
import sys

CHILD = "import subprocess; subprocess.Popen(['sleep', '1000'])"


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        subprocess.check_call([sys.executable, "-c", CHILD])
        return instances
