"""Never returns for the instance "bad", and is deaf to signals."""

import signal
import time


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGALRM})
        return cls()

    def predict(self, instances, **kwargs):
        while "bad" in instances:
            time.sleep(0.01)
        return instances
