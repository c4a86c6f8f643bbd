"""Leaves an alarm behind that raises."""

import signal


class Predictor:
    @classmethod
    def from_path(cls, model_dir):
        return cls()

    def predict(self, instances, **kwargs):
        signal.signal(signal.SIGALRM, self.ring)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answer = list(instances)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        return answer

    def ring(self, *args):
        raise TimeoutError("too late")
