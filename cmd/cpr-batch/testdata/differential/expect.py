"""Says what a run with a Predictor that returns its instances must write, by nothing but Python's own json.

    expect.py INPUT OPTIONS PREDICTIONS ERRORS

INPUT is a JSON Lines file, not compressed. OPTIONS is a JSON object: uri, offsets (whether the program
can know them), max_line, non_finite, and of the job file's `instance` and `output` key_field,
included_fields, excluded_fields, instance_type, instance (a list of fields to echo) and bare (echo none).
"""

import codecs
import json
import sys

BLANK = b" \t\r"
WHITE = " \t\n\r"
syntax = json.JSONDecoder(parse_int=str)  # digits without a limit


class Failed(Exception):
    def __init__(self, phase, kind, message, shown=None):
        self.phase, self.kind, self.message = phase, kind, message
        self.shown = shown  # of what is no JSON: its text


def main(input_file, options_text, predictions_file, errors_file):
    options = json.loads(options_text)
    with open(input_file, "rb") as f:
        lines = f.read().split(b"\n")
    offset = 0
    with open(predictions_file, "wb") as predictions, open(errors_file, "wb") as errors:
        for number, line in enumerate(lines, 1):
            outcome(line, number, offset, options, predictions, errors)
            offset += len(line) + 1


def outcome(line, number, offset, options, predictions, errors):
    content = line[3:] if number == 1 and line.startswith(codecs.BOM_UTF8) else line
    raw = content.strip(BLANK)
    if not raw:
        return
    row = Row(options)
    try:
        if len(line) > options["max_line"]:
            head = line[:1024][len(line) - len(content):]
            shown = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
            raise Failed("read", "LineTooLong", "the line has %d bytes, more than source.jsonl.max_line (%s) allows"
                         % (len(line), options["max_line_shown"]), shown.strip(" \t\r"))
        seen = row.read(raw)
        text = predicted(seen, options["non_finite"])
        if options["bare"]:
            predictions.write(utf8(text + "\n"))
            return
        echoed = '"key":' + row.key if row.key is not None else '"instance":' + row.shown
        predictions.write(utf8("{%s,\"prediction\":%s}\n" % (echoed, text)))
    except Failed as e:
        if e.shown is not None:
            told = '"instance":null,"text":' + dumps(e.shown)
        else:
            told = '"instance":' + raw.decode()
        if row.key is not None:
            told += ',"key":' + row.key
        source = {"uri": options["uri"], "line": number}
        if options["offsets"]:
            source["offset"] = offset
        error = {"phase": e.phase, "type": e.kind, "message": e.message}
        errors.write(utf8('{%s,"error":%s,"source":%s}\n' % (told, dumps(error), dumps(source))))


def utf8(text):
    return text.encode("utf-8", "backslashreplace")  # lone surrogates are escaped


def dumps(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Row:
    """What becomes of a row before it is predicted."""

    def __init__(self, options):
        self.options = options
        self.key = self.shown = None

    def read(self, raw):
        """The value that the Predictor sees."""
        o = self.options
        arranged = bool(o["key_field"] or o["included_fields"] or o["excluded_fields"] or o["instance_type"])
        if not arranged and not o["instance"]:
            text = decoded(raw, "not UTF-8: %s at byte %d")
            self.shown = text
            return value_of(text)
        text = decoded(raw, "not UTF-8 at byte %.0s%d")
        members = self.members(text)
        self.shown = text
        if o["instance"]:
            last = dict(members)
            self.shown = "{" + ",".join(dumps(f) + ":" + last[f] for f in o["instance"] if f in last) + "}"
        if not arranged:
            return value_of(text)
        if o["instance_type"] == "array" and not (o["key_field"] or o["included_fields"] or o["excluded_fields"]) and text[0] == "[":
            return value_of(text)
        return self.arrange(text, members)

    def members(self, text):
        """The names and texts of the fields, where the row is an object."""
        checked(text, parse_int=str)
        found = []
        if text[0] != "{":
            return found
        at = after_white(text, 1)
        while text[at] != "}":
            name, at = json.decoder.scanstring(text, at + 1)
            begin = after_white(text, after_white(text, at) + 1)
            _, at = syntax.scan_once(text, begin)
            found.append((name, text[begin:at]))
            at = after_white(text, at)
            if text[at] == ",":
                at = after_white(text, at + 1)
        return found

    def arrange(self, text, members):
        o = self.options
        odd = ""
        if text[0] != "{":
            odd = " is %s, not an object: it" % {"[": "an array", '"': "a string", "t": "a boolean", "f": "a boolean", "n": "null"}.get(text[0], "a number")
        fields = dict(members)  # the first one's place, the last one's text
        if o["key_field"]:
            if o["key_field"] not in fields:
                raise missing("the row%s has no key field %s" % (odd, dumps(o["key_field"])))
            self.key = fields.pop(o["key_field"])
        absent = [dumps(f) for f in o["included_fields"] if f not in fields and f != o["key_field"]]
        if absent:
            raise missing("the row%s has no %s %s" % (odd, "field" if len(absent) == 1 else "fields", ", ".join(absent)))
        if odd:
            raise missing("the row%s has no fields to arrange" % odd)
        names = [n for n in fields if n not in o["excluded_fields"] and (not o["included_fields"] or n in o["included_fields"])]
        if o["instance_type"] == "array":
            return [value_of(fields[n]) for n in (o["included_fields"] or names)]
        return {n: value_of(fields[n]) for n in names}


def missing(message):
    return Failed("read", "MissingField", message)


def after_white(text, at):
    while text[at] in WHITE:
        at += 1
    return at


def decoded(raw, message):
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as e:
        raise Failed("read", "InvalidJSON", message % (e.reason, e.start + 1), raw.decode("utf-8", "replace")) from None


def checked(text, **how):
    try:
        return json.loads(text, **how)
    except json.JSONDecodeError as e:
        what, at = e.msg[:-3] if e.msg.endswith(" at") else e.msg, e.pos
        if how and what.startswith("Illegal trailing comma"):
            # The words of 3.13. Before it, as where the program looks itself, they are these.
            what, at = "Expecting value" if what.endswith("array") else "Expecting property name enclosed in double quotes", after_white(text, at + 1)
        raise Failed("read", "InvalidJSON", "%s at column %d" % (what, at + 1), text) from None


def value_of(text):
    try:
        return checked(text)
    except (ValueError, RecursionError) as e:
        raise Failed("read", type(e).__name__, str(e)) from None


def predicted(value, non_finite):
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except RecursionError as e:
        raise Failed("encode", "RecursionError", str(e)) from None
    except ValueError as e:
        if not str(e).startswith("Out of range"):
            raise Failed("encode", "ValueError", str(e)) from None
    found = []
    value = finite(value, non_finite, found)
    if non_finite == "error":
        raise Failed("encode", "ValueError", found[0].lstrip("-") + " is not JSON; output.non_finite says what to write instead")
    return dumps(value)


def finite(value, non_finite, found):
    """The value with others in the places of NaN and Infinity, whose names join found."""
    if isinstance(value, dict):
        return {k: finite(v, non_finite, found) for k, v in value.items()}
    if isinstance(value, list):
        return [finite(v, non_finite, found) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        found.append(json.dumps(value))
        return None if non_finite == "null" else found[-1]
    return value


main(*sys.argv[1:])
