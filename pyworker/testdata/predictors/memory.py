"""Has memory for two instances."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        if len(instances) > 2:
            raise MemoryError("no memory for %d" % len(instances))
        return instances
