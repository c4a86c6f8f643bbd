"""Trains model/model.txt, with model/categories.json, on made-up customers."""

import json
import os
import sys

import lightgbm
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "code"))
sys.dont_write_bytecode = True

from features import CATEGORIES, NUMBERS, matrix  # noqa: E402

COUNTRIES = ["AT", "CH", "DE", "FR", "IT", "NL"]
PLANS = {"basic": 9.9, "family": 24.9, "plus": 16.9}
PAYMENTS = ["card", "invoice", "transfer"]


def customer(random):
    """The record of a made-up customer, and whether he left. Some fields are null or left out."""
    plan = sorted(PLANS)[random.randint(len(PLANS))]
    record = {
        "plan": plan,
        "country": COUNTRIES[random.randint(len(COUNTRIES))],
        "payment": PAYMENTS[random.randint(len(PAYMENTS))],
        "months": int(random.gamma(2, 9)),
        "monthly_fee": round(PLANS[plan] * random.choice([1.0, 1.0, 0.8]), 2),
        "support_calls": int(random.poisson(0.8)),
        "days_since_login": int(random.exponential(12)),
    }
    score = (0.05 * record["days_since_login"] + 0.6 * record["support_calls"] - 0.05 * record["months"]
             + 0.8 * (record["payment"] == "invoice") - 0.7 * (plan == "family") - 1.2)
    left = random.random_sample() < 1 / (1 + np.exp(-score))
    for name in sorted(record):
        chance = random.random_sample()
        if chance < 0.03:
            record[name] = None
        elif chance < 0.06:
            del record[name]
    return record, left


def main():
    random = np.random.RandomState(9)
    records, left = zip(*(customer(random) for _ in range(4000)))
    categories = {"plan": sorted(PLANS), "country": COUNTRIES, "payment": PAYMENTS}
    data = lightgbm.Dataset(matrix(records, categories), np.array(left, dtype=float),
                            feature_name=NUMBERS + CATEGORIES, categorical_feature=CATEGORIES)
    parameters = {"objective": "binary", "num_leaves": 15, "learning_rate": 0.1, "verbosity": -1,
                  "seed": 9, "deterministic": True, "num_threads": 1}
    booster = lightgbm.train(parameters, data, num_boost_round=60)
    folder = os.path.join(HERE, "model")
    os.makedirs(folder, exist_ok=True)
    booster.save_model(os.path.join(folder, "model.txt"))
    with open(os.path.join(folder, "categories.json"), "w") as f:
        json.dump(categories, f)


if __name__ == "__main__":
    main()
