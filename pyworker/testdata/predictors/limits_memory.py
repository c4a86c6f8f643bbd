"""Has a limit on its memory, which each instance takes a third of."""

import resource


def size():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * resource.getpagesize()


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        limit = size() + (384 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        return cls()

    def predict(self, instances, **kwargs):
        taken = [bytes(128 << 20) for _ in instances]
        return [len(t) for t in taken]
