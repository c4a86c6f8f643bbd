"""Empties the list it was given."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        n = len(instances)
        instances.clear()
        return [n] * n
