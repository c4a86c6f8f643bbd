"""What the LightGBM model itself says: direct_lightgbm.py EXAMPLE INSTANCES BATCH_SIZE OUTPUT"""

import json
import sys

import lightgbm
import numpy as np

example, instances, size, output = sys.argv[1:]
model = lightgbm.Booster(model_file=example + "/model/model.txt")
with open(example + "/model/categories.json") as f:
    categories = json.load(f)


def number(name, value):
    if name in categories and value is not None:
        value = categories[name].index(value) if value in categories[name] else None
    return float("nan") if value is None else float(value)


with open(instances) as f:
    records = [json.loads(line) for line in f]
data = np.array([[number(name, record.get(name)) for name in model.feature_name()] for record in records])
with open(output, "w") as f:
    for i in range(0, len(data), int(size)):
        rows = data[i:i + int(size)]
        for churn, shares in zip(model.predict(rows), model.predict(rows, pred_contrib=True)):
            ranked = sorted(zip(-shares[:-1], range(len(model.feature_name()))))
            because = [model.feature_name()[j] for _, j in ranked[:2]]
            f.write(json.dumps({"churn": float(churn), "because": because}, separators=(",", ":")) + "\n")
