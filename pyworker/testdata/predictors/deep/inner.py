"""Lies in a package."""


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances):
        return ["deep" for _ in instances]
