"""A Predictor that takes its time, and writes down each call before it answers.

A line of the file that $CALL_LOG names: time, task, its restarts, numbers of the instances.
"""

import json
import os
import time

TASK = os.environ.get("SLURM_ARRAY_TASK_ID", "alone")
RESTARTS = int(os.environ.get("SLURM_RESTART_COUNT", "0"))


class Slow:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        ids = [instance["id"] for instance in instances]
        line = json.dumps({"time": time.time(), "task": TASK, "restarts": RESTARTS, "ids": ids}) + "\n"
        log = os.open(os.environ["CALL_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(log, line.encode())
        finally:
            os.close(log)
        time.sleep(float(os.environ["CALL_SECONDS"]))
        for i in ids:
            if i % 97 == 13:
                raise ValueError("%d is an unlucky number" % i)
        return [{"square": i * i} for i in ids]
