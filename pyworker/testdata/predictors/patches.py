"""Patches what a worker might need."""

import json
import os
import struct
import sys
import time


def broken(*args, **kwargs):
    raise RuntimeError("patched")


json.dumps = json.loads = json.JSONEncoder.encode = json.JSONEncoder.iterencode = broken
json.encoder.c_make_encoder = json.encoder.encode_basestring = json.decoder.JSONDecoder.decode = broken
os.write = os.read = os.fstat = os.getpid = struct.pack = broken
time.time = time.perf_counter = time.monotonic = broken
sys.modules["json"] = None
os.chdir("/")


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        return instances
