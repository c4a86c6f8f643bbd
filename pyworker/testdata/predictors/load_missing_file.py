"""Opens a file of the model that is not there."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        open(model_dir + "/weights.bin")

    def predict(self, instances, **kwargs):
        return instances
