"""Batch prediction as one writes it in an afternoon: a pool of processes, json.loads and
json.dumps for each line.

    python3 plain.py CLASS INPUT OUTPUT WORKERS
"""

import itertools
import json
import multiprocessing
import os
import sys

BATCH = 1000

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "code"))


def load(class_name):
    global predictor
    import predictor as module
    predictor = getattr(module, class_name).from_path(None)


def predict(lines):
    instances = [json.loads(line) for line in lines]
    predictions = predictor.predict(instances)
    return "".join(
        json.dumps({"instance": instance, "prediction": prediction}, ensure_ascii=False, separators=(",", ":")) + "\n"
        for instance, prediction in zip(instances, predictions))


def batches(f):
    while True:
        lines = list(itertools.islice(f, BATCH))
        if not lines:
            return
        yield lines


def main(class_name, input_path, output_path, workers):
    with open(input_path, encoding="utf-8") as lines, open(output_path, "w", encoding="utf-8") as out:
        with multiprocessing.Pool(int(workers), load, (class_name,)) as pool:
            for text in pool.imap(predict, batches(lines)):
                out.write(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
