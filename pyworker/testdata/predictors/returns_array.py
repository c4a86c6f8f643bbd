"""Returns what numpy would: an array."""

class ndarray:
    shape = (3,)

    def tolist(self):
        return [1, 2, 3]

    def __len__(self):
        return 3


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return ndarray()
