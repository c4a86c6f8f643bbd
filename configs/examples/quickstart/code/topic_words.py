"""How a message becomes words: the same in training and in prediction."""

import re

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")

_STOP = frozenset(
    "a an and any are as at be been but by can could do does for from had has have he her hi him i i'd "
    "i'm i've if in is it it's its just me my of on or our out please she so still thanks that the their "
    "them then there they this to up us was we were what when which who why will with would you your".split())


def words(text):
    """The words of a message that may tell its topic, in order."""
    return [word for word in _WORD.findall(text.lower()) if word not in _STOP]
