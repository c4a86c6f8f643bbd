"""A custom prediction routine: the state of a pump by its sensors' readings."""

import os

import joblib
import numpy as np


class PumpPredictor(object):
    """A scikit-learn pipeline whose first step is a transformer of this package."""

    def __init__(self, pipeline):
        self._pipeline = pipeline

    @classmethod
    def from_path(cls, model_dir):
        return cls(joblib.load(os.path.join(model_dir, "model.joblib")))

    def predict(self, instances, *, probabilities=False):
        readings = np.asarray(instances, dtype=float)  # null becomes NaN
        if not probabilities:
            return self._pipeline.predict(readings).tolist()
        states = self._pipeline.classes_.tolist()
        return [dict(zip(states, row)) for row in self._pipeline.predict_proba(readings).tolist()]
