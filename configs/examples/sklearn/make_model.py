"""Trains model/model.joblib on made-up readings of pumps."""

import os
import sys

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "code"))
sys.dont_write_bytecode = True

from filling import MedianFiller  # noqa: E402

# Temperature in °C, pressure in bar, vibration in mm/s, current in A: mean and deviation by state.
STATES = {
    "good": ([52.0, 6.1, 1.8, 11.5], [4.0, 0.3, 0.5, 0.8]),
    "leaking": ([54.0, 4.6, 2.3, 12.4], [4.5, 0.6, 0.7, 1.0]),
    "worn": ([63.0, 5.7, 4.6, 13.1], [6.0, 0.5, 1.4, 1.2]),
}


def pumps(number, random):
    """The readings of so many pumps, one in twenty missing, and the state of each."""
    names = sorted(STATES)
    states = random.choice(names, number, p=[0.6, 0.2, 0.2])
    readings = np.array([random.normal(*STATES[state]) for state in states])
    readings[random.random_sample(readings.shape) < 0.05] = np.nan
    return np.round(readings, 2), states


def main():
    readings, states = pumps(2000, np.random.RandomState(5))
    pipeline = make_pipeline(MedianFiller(), StandardScaler(), LogisticRegression())
    pipeline.fit(readings, states)
    folder = os.path.join(HERE, "model")
    os.makedirs(folder, exist_ok=True)
    joblib.dump(pipeline, os.path.join(folder, "model.joblib"))


if __name__ == "__main__":
    main()
