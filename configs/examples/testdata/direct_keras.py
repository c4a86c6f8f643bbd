"""What the Keras model itself says: direct_keras.py EXAMPLE INSTANCES BATCH_SIZE OUTPUT"""

import json
import pickle
import sys

import numpy as np
from tensorflow import keras

example, instances, size, output = sys.argv[1:]
sys.path.append(example)
with open(example + "/model/preprocessor.pkl", "rb") as f:
    means = pickle.load(f)._means
model = keras.models.load_model(example + "/model/model.h5", compile=False)
with open(instances) as f:
    data = np.array([json.loads(line) for line in f])
with open(output, "w") as f:
    for i in range(0, len(data), int(size)):
        for prediction in model.predict(data[i:i + int(size)] - means, verbose=0).tolist():
            f.write(json.dumps(prediction, separators=(",", ":")) + "\n")
