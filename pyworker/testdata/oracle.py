"""Says what a Python makes of instances by itself, with its own json and traceback and nothing of ours:
the instances' texts come as a JSON list on standard input, the outcomes leave as one. Its argument is
the folder of the Predictor."""

import json
import re
import sys
import traceback

sys.path.append(sys.argv[1])
from behaves import Predictor  # noqa: E402


def outcome(predictor, text):
    try:
        value = json.loads(text)
    except json.JSONDecodeError as e:
        what = e.msg[:-3] if e.msg.endswith(" at") else e.msg
        return "read", "InvalidJSON", "%s at column %d" % (what, e.colno), ""
    except Exception as e:
        return "read", name_of(type(e)), str(e), ""
    try:
        (result,) = predictor.predict([value])
    except BaseException as e:
        # Without the frame of this function.
        trace = "".join(traceback.format_exception(type(e), e, e.__traceback__.tb_next))
        return "predict", name_of(type(e)), shown(str(e)), shown(trace.replace(sys.argv[1] + "/", ""))
    try:
        text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        return [text.encode("utf-8", "backslashreplace").decode()]
    except BaseException as e:
        return "encode", name_of(type(e)), str(e), ""


def shown(text):
    return re.sub("[\ud800-\udfff]", "\ufffd", text)  # a surrogate has no place in UTF-8


def name_of(kind):
    return kind.__qualname__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__qualname__


made = Predictor.from_path("")
answers = [outcome(made, text) for text in json.loads(sys.stdin.buffer.read().decode())]
sys.stdout.write(json.dumps({"answers": answers}))
