"""Raises for "bad", and for everything from then on."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        self = cls()
        self.poisoned = False
        return self

    def predict(self, instances, **kwargs):
        if "bad" in instances:
            self.poisoned = True
        if self.poisoned:
            raise RuntimeError("device-side assert triggered")
        return instances
