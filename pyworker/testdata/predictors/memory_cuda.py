"""Says that memory is out as frameworks do."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
