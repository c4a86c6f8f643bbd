"""Raises an exception that can not be written."""

class Mute(Exception):
    def __str__(self):
        raise ValueError("no words")


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        raise Mute()
