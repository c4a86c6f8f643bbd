"""Raises for the instance "bad"."""

def check(instance):
    raise ValueError("can not take %r of %r" % (instance, object()))


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        for i in instances:
            if i == "bad":
                check(i)
        return instances
