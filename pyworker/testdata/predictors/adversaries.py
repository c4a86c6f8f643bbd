"""Classes that misbehave for negative numbers, each in one way, and keep a line a call.

The file is $CALLS: "load 123" of the process 123, and "call 123 512" before each predict
on 512 instances.
"""

import ctypes
import os
import resource
import time


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self = cls()
        self.calls = os.open(os.environ["CALLS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self.keep("load %d" % os.getpid())
        self.prepare()
        return self

    def keep(self, line):
        os.write(self.calls, (line + "\n").encode())

    def prepare(self):
        pass

    def predict(self, instances, **kwargs):
        self.keep("call %d %d" % (os.getpid(), len(instances)))
        if min(instances) < 0:
            return self.misbehave(instances)
        return instances

    def misbehave(self, instances):
        return instances


class Raises(Predictor):
    def misbehave(self, instances):
        raise ValueError("below zero")


class Hangs(Predictor):
    def misbehave(self, instances):
        while True:
            time.sleep(60)


class Exits(Predictor):
    def misbehave(self, instances):
        os._exit(7)


class DiesInCompany(Predictor):
    """Exits where there is more than one instance, and refuses a single one."""

    def misbehave(self, instances):
        if len(instances) > 1:
            os._exit(7)
        raise ValueError("below zero")


class Segfaults(Predictor):
    def misbehave(self, instances):
        ctypes.string_at(0)


def limit_memory(more):
    """Lets the process have so many bytes more than it has now."""
    with open("/proc/self/statm") as f:
        size = int(f.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + more, size + more))


class EatsMemory(Predictor):
    def prepare(self):
        limit_memory(256 << 20)

    def misbehave(self, instances):
        eaten = []
        while True:
            eaten.append(bytes(64 << 20))


class EatsMemoryByTheInstance(Predictor):
    """Takes two MiB an instance, and for a negative one a GiB."""

    def prepare(self):
        limit_memory(512 << 20)

    def predict(self, instances, **kwargs):
        self.keep("call %d %d" % (os.getpid(), len(instances)))
        taken = bytes(sum([2 << 20 if n >= 0 else 1 << 30 for n in instances]))
        return instances if taken else []


class ReturnsNothing(Predictor):
    def misbehave(self, instances):
        pass


class ReturnsTooMuch(Predictor):
    def misbehave(self, instances):
        return instances + instances


class ReturnsObjects(Predictor):
    def misbehave(self, instances):
        return [n if n >= 0 else object() for n in instances]


class BreaksItsChannel(Predictor):
    """Writes to every descriptor that it finds."""

    def misbehave(self, instances):
        for fd in range(3, 1024):
            if fd != self.calls:
                try:
                    os.write(fd, b"garbage " * 8)
                except OSError:
                    pass
        return instances


class Poisoned(Predictor):
    """Raises for all that follow, too."""

    def prepare(self):
        self.poisoned = False

    def predict(self, instances, **kwargs):
        self.keep("call %d %d" % (os.getpid(), len(instances)))
        self.poisoned = self.poisoned or min(instances) < 0
        if self.poisoned:
            raise RuntimeError("device-side assert triggered")
        return instances


class TooManyRequests(Exception):
    pass


class Throttled(Predictor):
    """Is told to come again in the first twenty calls of all workers."""

    def predict(self, instances, **kwargs):
        self.keep("call %d %d" % (os.getpid(), len(instances)))
        own_end = os.lseek(self.calls, 0, os.SEEK_CUR)
        with open(os.environ["CALLS"]) as f:
            if sum(line.startswith("call") for line in f.read(own_end).splitlines()) <= 20:
                raise TooManyRequests("429: come again later")
        return instances


class Slow(Predictor):
    def predict(self, instances, **kwargs):
        self.keep("call %d %d" % (os.getpid(), len(instances)))
        time.sleep(0.02)
        return instances
