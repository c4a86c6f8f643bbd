"""Has an async predict."""


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    async def predict(self, instances):
        return instances
