"""Answers each instance with the keyword arguments."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return [kwargs for _ in instances]
