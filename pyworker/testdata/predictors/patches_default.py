"""Teaches json about its own type, as many programs do."""

import json


class Point:
    pass


json.JSONEncoder.default = lambda self, value: "point" if isinstance(value, Point) else None


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return [{"at": Point()} for _ in instances]
