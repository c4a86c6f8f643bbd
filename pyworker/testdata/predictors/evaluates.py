"""Answers each instance, a Python expression, with its value."""

import datetime, decimal, sys, os  # noqa: F401, E401

nan = float('nan')


class Tensor:
    shape = (2,)

    def tolist(self):
        return [1, 2]


class Scalar(Tensor):
    shape = ()


class Real(float):
    pass


class Raising(list):
    def __iter__(self):
        raise LookupError('no elements')


def circle():
    c = []
    c.append(c)
    return c


def deep():
    d = []
    for _ in range(100000):
        d = [d]
    return d


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return [eval(i) for i in instances]
