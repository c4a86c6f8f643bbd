"""Raises an exception whose class answers no question."""


class Meta(type):
    def __getattribute__(cls, name):
        raise SystemExit("unseen")


class Unseen(Exception, metaclass=Meta):
    pass


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        raise Unseen()
