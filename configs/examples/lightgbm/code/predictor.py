"""A custom prediction routine: how likely a customer leaves, and why."""

import json
import os

import lightgbm
import numpy as np

from features import CATEGORIES, NUMBERS, matrix


class ChurnPredictor(object):
    """LightGBM over records whose fields are numbers and categories, some of them missing."""

    def __init__(self, booster, categories):
        self._booster = booster
        self._categories = categories

    @classmethod
    def from_path(cls, model_dir):
        with open(os.path.join(model_dir, "categories.json")) as f:
            categories = json.load(f)
        return cls(lightgbm.Booster(model_file=os.path.join(model_dir, "model.txt")), categories)

    def predict(self, instances, *, reasons=0):
        rows = matrix(instances, self._categories)
        predictions = [{"churn": churn} for churn in self._booster.predict(rows).tolist()]
        if reasons:
            names = np.array(NUMBERS + CATEGORIES)
            shares = self._booster.predict(rows, pred_contrib=True)[:, :-1]
            for prediction, order in zip(predictions, np.argsort(-shares, axis=1, kind="stable")):
                prediction["because"] = names[order[:reasons]].tolist()
        return predictions
