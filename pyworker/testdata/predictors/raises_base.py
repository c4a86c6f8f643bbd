"""Raises what is no Exception, for the instance "bad"."""

class Gone(BaseException):
    pass


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        if "bad" in instances:
            raise Gone("beyond Exception")
        return instances
