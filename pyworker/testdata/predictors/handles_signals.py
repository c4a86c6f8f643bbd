"""Has signal handlers, and a timer that interrupts everything."""

import signal


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        self = cls()
        self.beats = 0
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, self.beat)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        return self

    def predict(self, instances, **kwargs):
        self.beats += 0
        return instances

    def beat(self, *args):
        self.beats += 1
