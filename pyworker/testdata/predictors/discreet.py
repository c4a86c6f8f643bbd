"""Classes that misbehave in many ways and never say themselves what they were given."""

import os
import sys
import time


class Answers:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return [instance for instance in instances]


class Raises(Answers):
    def predict(self, instances, **kwargs):
        secret = (instances, kwargs, dict(os.environ))
        raise ValueError("%d things" % len(secret))


class RaisesAtOdd(Answers):
    def predict(self, instances, **kwargs):
        if any(len(str(instance)) % 2 for instance in instances):
            raise ValueError("odd")
        return instances


class Dies(Answers):
    def predict(self, instances, **kwargs):
        os._exit(7)


class Segfaults(Answers):
    def predict(self, instances, **kwargs):
        import ctypes

        ctypes.string_at(0)


class Hangs(Answers):
    def predict(self, instances, **kwargs):
        secret = (instances, kwargs)
        while secret:
            time.sleep(60)


class HangsAndTells(Hangs):
    def predict(self, instances, **kwargs):
        open(os.environ["STARTED"], "w").close()
        return Hangs.predict(self, instances, **kwargs)


class ReturnsADict(Answers):
    def predict(self, instances, **kwargs):
        return {"predictions": instances, "kwargs": kwargs}


class ReturnsTooLittle(Answers):
    def predict(self, instances, **kwargs):
        return instances[1:]


class Odd:
    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return repr(self.value)


class ReturnsOddObjects(Answers):
    def predict(self, instances, **kwargs):
        odd = [Odd(instances), {(str(instances), 1): 2}, {str(instances): {1, 2}}, float("nan"), b"%r" % kwargs]
        return [odd[i % len(odd)] for i in range(len(instances))]


class WritesToItsChannel(Answers):
    def predict(self, instances, **kwargs):
        for fd in range(3, 1024):
            try:
                os.write(fd, repr((instances, kwargs)).encode())
            except OSError:
                pass
        return instances


class DoesNotLoad(Answers):
    @classmethod
    def from_path(cls, model_dir):
        secret = dict(os.environ)
        raise RuntimeError("%d variables are too many" % (len(secret) - len(secret)))


class Talks(Answers):
    """Quotes the first instance wherever it can."""

    def predict(self, instances, **kwargs):
        print(instances[0])
        sys.stderr.write(instances[0] + "\n")
        raise ValueError("cannot use " + instances[0])


class RaisesWhatItGot(Answers):
    def predict(self, instances, **kwargs):
        raise ValueError("cannot use\n" + instances[0])


class TalksAndDies(Answers):
    def predict(self, instances, **kwargs):
        sys.stderr.write(instances[0] + "\n")
        sys.stderr.flush()
        os._exit(7)
