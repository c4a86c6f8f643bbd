"""What the scikit-learn model itself says: direct_sklearn.py EXAMPLE INSTANCES BATCH_SIZE OUTPUT"""

import json
import sys

import joblib
import numpy as np

example, instances, size, output = sys.argv[1:]
sys.path.append(example + "/code")
pipeline = joblib.load(example + "/model/model.joblib")
filler, model = pipeline[0], pipeline[1:]
with open(instances) as f:
    data = np.array([json.loads(line) for line in f], dtype=float)
for column, median, low, high in zip(data.T, filler.medians_, filler.low_, filler.high_):
    column[np.isnan(column)] = median
    column[column < low] = low
    column[column > high] = high
with open(output, "w") as f:
    for i in range(0, len(data), int(size)):
        for prediction in model.predict_proba(data[i:i + int(size)]):
            states = {str(state): float(p) for state, p in zip(model.classes_, prediction)}
            f.write(json.dumps(states, separators=(",", ":")) + "\n")
