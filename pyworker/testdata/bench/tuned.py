"""plain.py, tuned by hand: one parse a batch, one dumps a batch, output lines composed of
the input's own bytes, the collector off, bytes instead of text between the processes, and
a bound on what is under way.

    python3 tuned.py CLASS INPUT OUTPUT WORKERS [json|orjson]
"""

import collections
import gc
import itertools
import json
import multiprocessing
import os
import sys

BATCH = 1000

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "code"))


def with_json(lines):
    """One parse of all lines; of the results, one dumps, divided at its top-level elements."""
    instances = json.loads(b"[" + b",".join(lines) + b"]")
    dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    predictions = predictor.predict(instances)
    if type(predictions[0]) in (int, float):  # their texts hold no comma
        texts = dumps(predictions)[1:-1].encode().split(b",")
    else:
        texts = [dumps(prediction).encode() for prediction in predictions]
    return texts


def with_orjson(lines):
    instances = orjson.loads(b"[" + b",".join(lines) + b"]")
    return [orjson.dumps(prediction) for prediction in predictor.predict(instances)]


def load(class_name, codec):
    global predictor, orjson, texts_of
    gc.disable()
    import predictor as module
    predictor = getattr(module, class_name).from_path(None)
    texts_of = with_json
    if codec == "orjson":
        import orjson
        texts_of = with_orjson


def predict(block):
    lines = block.splitlines()
    return b"".join([b'{"instance":%b,"prediction":%b}\n' % pair for pair in zip(lines, texts_of(lines))])


def main(class_name, input_path, output_path, workers, codec="json"):
    workers = int(workers)
    with open(input_path, "rb") as lines, open(output_path, "wb") as out:
        with multiprocessing.Pool(workers, load, (class_name, codec)) as pool:
            under_way = collections.deque()
            while True:
                block = b"".join(itertools.islice(lines, BATCH))
                if block:
                    under_way.append(pool.apply_async(predict, (block,)))
                if under_way and (not block or len(under_way) > 4 * workers):
                    out.write(under_way.popleft().get())
                if not block and not under_way:
                    return


if __name__ == "__main__":
    main(*sys.argv[1:])
