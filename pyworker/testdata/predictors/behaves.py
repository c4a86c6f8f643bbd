"""Does what each instance says: ["evaluate", expression], ["run", statements that set answer], ["echo", value]."""

import asyncio  # noqa: F401
import datetime  # noqa: F401
import enum
import faulthandler  # noqa: F401
import multiprocessing  # noqa: F401
import os  # noqa: F401
import signal  # noqa: F401
import subprocess  # noqa: F401
import sys  # noqa: F401
import threading  # noqa: F401
import time  # noqa: F401

nan = float("nan")


class Colour(enum.IntEnum):
    RED = 1


class Odd(Exception):
    class Inner(Exception):
        pass


def square(x):
    return x * x


def deep(n):
    d = []
    for _ in range(n):
        d = [d]
    return d


def circle():
    c = []
    c.append(c)
    return c


def down():
    return down()


def fail(e):
    raise e


def chain():
    try:
        {}["key"]
    except KeyError as e:
        raise Odd("no key") from e


def group():
    members = []
    for kind in (ValueError, Odd.Inner):
        try:
            fail(kind("inside"))
        except Exception as e:
            members.append(e)
    raise ExceptionGroup("two", members)  # noqa: F821


def noted():
    try:
        fail(ValueError("noted"))
    except ValueError as e:
        e.add_note("a note")
        raise


async def later(x):
    await asyncio.sleep(0)
    return x


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return [getattr(self, what)(argument) for what, argument in instances]

    def echo(self, value):
        return value

    def evaluate(self, expression):
        return eval(expression)

    def run(self, statements):
        scope = dict(globals())
        exec(statements, scope)
        return scope["answer"]

    def hang(self, seconds):
        time.sleep(seconds)
