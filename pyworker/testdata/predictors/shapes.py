"""Holds classes of every shape, right and wrong."""

import functools


class Loads:
    @classmethod
    def from_path(cls, model_dir):
        return cls()


class NoPredict(Loads):
    pass


class NoFromPath:
    def predict(self, instances, **kwargs):
        return instances


class Vertex:
    def load(self, artifacts_uri):
        pass

    def predict(self, instances):
        return instances


class OtherName(Loads):
    def predict(self, rows):
        return rows


class KeywordOnly(Loads):
    def predict(self, instances, *, top=1, **kwargs):
        return [top for _ in instances]


class Parameters(Loads):
    def predict(self, instances, parameters=None):
        return instances


class Variadic(Loads):
    def predict(self, *args):
        return args[0]


class Static(Loads):
    @staticmethod
    def predict(instances, more):
        return instances


class PlainFromPath:
    def from_path(self, model_dir):
        return self

    def predict(self, instances):
        return instances


class Outer:
    class Inner(OtherName):
        pass


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Decorated(Loads):
    @logged
    def predict(self, instances):
        return instances


def function(instances):
    return instances
