"""Dies when it has answered, and waits for the next call."""

import os
import sys
import threading
import time


def die(main):
    waiting = False
    while not waiting:
        time.sleep(0.01)
        frame = sys._current_frames()[main]
        while frame is not None and not waiting:
            waiting = frame.f_code.co_name == "receive"
            frame = frame.f_back
    os._exit(9)


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        threading.Thread(target=die, args=(threading.get_ident(),), daemon=True).start()
        return instances
