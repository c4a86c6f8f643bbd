"""Loads a pickle that was made by a script."""

import pickle


class Scaler:
    pass


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return pickle.loads(b"c__main__\nScaler\n.")

    def predict(self, instances):
        return instances
