"""Changes to a folder of its own and deletes it."""

import os
import tempfile


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)
        return instances
