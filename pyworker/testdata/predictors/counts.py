"""Answers with how many calls and instances there have been."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        self = cls()
        self.calls = self.seen = 0
        return self

    def predict(self, instances, **kwargs):
        self.calls += 1
        self.seen += len(instances)
        return [[self.calls, self.seen] for _ in instances]
