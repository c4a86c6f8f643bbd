"""Raises with a message and a traceback without end."""

class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        def down(n):
            if n == 0:
                raise ValueError("x" * 1000000)
            (down if n % 2 else lambda m: down(m))(n - 1)

        down(300)
