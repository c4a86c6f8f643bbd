"""A custom prediction routine: which topic a support message is about."""

import json
import math
import os

from topic_words import words


class TopicPredictor(object):
    """Multinomial Naive Bayes over the words of a message."""

    def __init__(self, topics, priors, weights):
        self._topics = topics
        self._priors = priors
        self._weights = weights

    @classmethod
    def from_path(cls, model_dir):
        with open(os.path.join(model_dir, "weights.json")) as f:
            model = json.load(f)
        return cls(model["topics"], model["priors"], model["weights"])

    def predict(self, instances, **kwargs):
        return [self._topic(instance["text"], **kwargs) for instance in instances]

    def _topic(self, text, alternatives=False):
        scores = list(self._priors)
        for word in words(text):
            for i, weight in enumerate(self._weights.get(word, ())):
                scores[i] += weight
        best = max(scores)
        chances = [math.exp(score - best) for score in scores]
        ranked = sorted(zip(chances, self._topics), reverse=True)
        prediction = {"topic": ranked[0][1], "confidence": round(ranked[0][0] / sum(chances), 3)}
        if alternatives and prediction["confidence"] < 0.6:
            prediction["or"] = ranked[1][1]
        return prediction
