"""Answers with what Python made of each instance."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return [repr(i) for i in instances]
