"""Is false, and a Predictor all the same."""


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def __len__(self):
        return 0

    def predict(self, instances):
        return instances
