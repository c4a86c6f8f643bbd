"""Returns a list that counts wrongly."""

class Liar(list):
    def __len__(self):
        return 3

    def __iter__(self):
        return iter([1, 2])


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return Liar(instances)
