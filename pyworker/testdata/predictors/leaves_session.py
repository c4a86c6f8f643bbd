"""Leaves a process that is in no group of the worker's and holds its streams for a while."""

import subprocess


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return [subprocess.Popen(["sleep", str(seconds)], start_new_session=True).pid for seconds in instances]
