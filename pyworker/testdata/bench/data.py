"""Writes JSON Lines to measure with: python3 data.py arrays|objects LINES FILE

Compact JSON, the same bytes every time."""

import json
import random
import sys


def arrays(rng, number):
    return [rng.uniform(-1000, 1000) for _ in range(10)]


def objects(rng, number):
    return {"id": "c%08d" % number, "age": rng.randint(18, 95), "balance": rng.uniform(-500, 9000),
            "city": rng.choice(["Łódź", "Graz", "Bergen", "Porto", "Leeds"]), "active": rng.random() < 0.8,
            "tags": [rng.choice("abcdefgh") * 3 for _ in range(3)], "score": rng.random()}


def main(kind, count, path):
    make = {"arrays": arrays, "objects": objects}[kind]
    rng = random.Random(20261123)
    # Large files repeat a block of lines: making random numbers would take longer than predicting.
    block = [json.dumps(make(rng, number), ensure_ascii=False, separators=(",", ":")) + "\n"
             for number in range(min(count, 100000))]
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        while count > 0:
            f.writelines(block[:count])
            count -= len(block)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
