"""Raises from another exception."""

class Odd(Exception):
    pass


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        try:
            {}["key"]
        except KeyError as e:
            raise Odd("no key") from e
