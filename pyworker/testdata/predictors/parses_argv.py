"""Parses arguments when it is imported."""

import argparse
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--verbose", action="store_true")
parser.parse_args()


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return [[sys.argv, sys.stdin.read()] for _ in instances]
