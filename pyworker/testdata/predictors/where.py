"""Answers with what the process looks like."""

import multiprocessing
import os
import sys  # noqa: F401

import worker  # noqa: F401


def square(x):
    return x * x


def squares(how):
    with multiprocessing.get_context(how).Pool(2) as pool:
        return pool.map(square, [1, 2, 3])


def shell(command):
    return os.popen(command).read()


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return [eval(i) for i in instances]
