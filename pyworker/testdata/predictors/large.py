"""Answers with as many bytes as the instance says."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return ["x" * n for n in instances]
