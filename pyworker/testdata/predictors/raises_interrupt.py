"""Raises KeyboardInterrupt."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        raise KeyboardInterrupt()
