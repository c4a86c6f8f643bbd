"""Returns None from from_path."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        cls()

    def predict(self, instances, **kwargs):
        return instances
