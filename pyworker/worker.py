"""Holds one Predictor and answers the calls that cpr-batch sends it in frames.

Standard library only, Python 3.7 and newer. The program is at the other end of two FIFOs
in the folder of this file, `requests` and `answers`; standard output and error belong to
the Predictor. Nothing that the Predictor does to its process (descriptors, signal
handlers, patched modules, forks) may change what an answer says, so all that the loop
needs is taken here, before any of the user's code runs.
"""

import sys

FOLDER = __file__.rpartition("/")[0]
if sys.path and sys.path[0] == FOLDER:
    del sys.path[0]  # a module of the user's may be called worker
BEGAN = float(sys.argv[1])  # when the program started this process, in seconds since 1970
sys.argv[:] = ["cpr-batch"]
if hasattr(sys, "orig_argv"):
    sys.orig_argv[:] = [sys.executable, "cpr-batch"]
if sys.version_info < (3, 7):
    sys.exit("cpr-batch needs Python 3.7 or newer; %s is %d.%d" % ((sys.executable,) + sys.version_info[:2]))

import base64  # noqa: E402
import errno  # noqa: E402
import faulthandler  # noqa: E402
import fcntl  # noqa: E402
import gc  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import signal  # noqa: E402
import struct  # noqa: E402
import traceback  # noqa: E402
import types  # noqa: E402
from _thread import get_ident  # noqa: E402
from time import perf_counter_ns as clock, time as now  # noqa: E402

try:
    from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask  # without signal's enums: ten times as fast
except ImportError:
    from signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask

PROTOCOL = 1
HEADER = struct.Struct("<4sBBHQII")  # magic, kind, flags, 0, sequence, instances, length
MAGIC = b"CPRB"
# Kinds of frames, from the program below 64. A loaded worker may become a template that
# forks others: 4 and 70 are kept for "fork into this folder" and its answer.
HELLO, LOAD, PREDICT = 1, 2, 3
GREETING, READY, FAILED, ANSWER, RAISED = 65, 66, 67, 68, 69
NON_FINITE = 1  # flag of ANSWER: NaN or Infinity may stand in its text
CALL = struct.Struct("<dI")  # limit in seconds, length of kwargs
TIMES = struct.Struct("<QQQI")  # decode, predict, encode in ns; failures
FAILURE = struct.Struct("<II")  # index, length

LONGEST_TEXT = 64 << 10  # of messages and tracebacks
CHUNK = 1 << 20
if hasattr(signal, "valid_signals"):
    ALL_SIGNALS = frozenset(map(int, signal.valid_signals()))
else:
    ALL_SIGNALS = frozenset(range(1, signal.NSIG)) - {32, 33}
WHITE = " \t\n\r"
ADDRESS = re.compile(r"(?<= at )0x[0-9a-fA-F]{4,}")
STRING = re.compile(r'"(?:[^"\\]+|\\.)*"')
NOT_JSON = re.compile("NaN|Infinity")

b64decode = base64.b64decode
arm, disarm = faulthandler.dump_traceback_later, faulthandler.cancel_dump_traceback_later
collect, freeze, gc_enabled = gc.collect, gc.freeze, gc.isenabled
gc_enable, gc_disable = gc.enable, gc.disable
fstat, os_read, os_write, os_open, os_close = os.fstat, os.read, os.write, os.open, os.close
getpid, quit_now, set_blocking = os.getpid, os._exit, os.set_blocking
TracebackException, StackSummary, format_exc = traceback.TracebackException, traceback.StackSummary, traceback.format_exc
set_traceback = BaseException.__traceback__.__set__
PublicEncoder = json.JSONEncoder
public_default = PublicEncoder.default
scan = json.JSONDecoder().scan_once
OUR_MAIN = sys.modules["__main__"]  # prepare puts another one in its place; this one stays alive


def write_error(text):
    try:
        os_write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # the user's code has closed it


def private_module(name):
    """A copy of a module of the standard library, which patches of the first do not reach."""
    spec = importlib.util.find_spec(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PrivateEncoder = private_module("json.encoder").JSONEncoder
dumps = PrivateEncoder().encode  # of what we say ourselves


class Encoder(PrivateEncoder):
    """json.dumps, with errors that say what to do. A JSONEncoder.default that the user has
    replaced counts, as it does for json.dumps."""

    def default(self, value):
        replaced = PublicEncoder.default
        if replaced is not public_default:
            return replaced(PublicEncoder(), value)
        kind = type(value)
        text = "Object of type %s is not JSON serializable" % kind.__name__
        if hasattr(value, "tolist"):
            scalar = getattr(value, "shape", None) == ()
            text += "; %s: return it with %s" % (type_name(kind), ".item()" if scalar else ".tolist()")
        raise TypeError(text)


encode_strict = Encoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
encode_lenient = Encoder(ensure_ascii=False, separators=(",", ":"), allow_nan=True).encode


class Descriptor:
    """One end of the channel, or the file for stack traces: opened by name again whenever
    the user's code has closed its descriptor."""

    def __init__(self, name, flags):
        self.path = FOLDER + "/" + name
        self.flags = flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        self.open()

    def open(self):
        low = os_open(self.path, self.flags, 0o600)
        try:  # out of the way: the numbers that a program expects stay its own
            fd = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 200)
            os_close(low)
        except OSError:
            fd = low
        set_blocking(fd, True)
        state = fstat(fd)
        self.fd, self.device, self.inode = fd, state.st_dev, state.st_ino

    def is_ours(self):
        try:
            state = fstat(self.fd)
        except OSError:
            return False
        return state.st_ino == self.inode and state.st_dev == self.device

    def get(self):
        if not self.is_ours():
            self.open()
        return self.fd

    def close(self):
        if self.is_ours():
            os_close(self.fd)


class Channel:
    """The frames from and to the program."""

    def __init__(self):
        self.pid = getpid()
        self.requests = Descriptor("requests", os.O_RDONLY)
        self.answers = Descriptor("answers", os.O_WRONLY)
        self.trace = Descriptor("trace", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.register_at_fork(after_in_child=self.close)

    def close(self):
        for end in (self.requests, self.answers, self.trace):
            end.close()

    def only_the_worker(self):
        """Ends a forked child that returned from the user's code: it must never answer."""
        if getpid() != self.pid:
            quit_now(0)

    def read(self, size):
        """Exactly size bytes, or None at the end of input."""
        chunks = []
        while size:
            try:
                chunk = os_read(self.requests.get(), min(size, CHUNK))
            except OSError as e:
                self.repair(self.requests, e)
                continue
            if not chunk:
                return None
            chunks.append(chunk)
            size -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def receive(self):
        """The next frame: kind, sequence, instances, payload; None at the end of input."""
        header = self.read(HEADER.size)
        if header is None:
            return None
        magic, kind, _, _, sequence, count, length = HEADER.unpack(header)
        if magic != MAGIC:
            raise RuntimeError("broken frame from cpr-batch")
        payload = self.read(length)
        return None if payload is None else (kind, sequence, count, payload)

    def send(self, kind, sequence, count, parts, flags=0):
        self.only_the_worker()
        length = sum(map(len, parts))
        parts = (HEADER.pack(MAGIC, kind, flags, 0, sequence, count, length),) + parts
        if length <= CHUNK:
            parts = (b"".join(parts),)
        for part in parts:
            rest = memoryview(part)
            while rest:
                try:
                    rest = rest[os_write(self.answers.get(), rest):]
                except OSError as e:
                    self.repair(self.answers, e)

    @staticmethod
    def repair(end, e):
        if e.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
            set_blocking(end.get(), True)
        elif e.errno != errno.EBADF or end.is_ours():
            raise e


class Failure(Exception):
    """What an instance, a call or the load failed of, where we say so ourselves."""

    def __init__(self, phase, kind, message, hint=""):
        Exception.__init__(self, message)
        self.phase, self.kind, self.message, self.hint = phase, kind, message, hint


def type_name(kind):
    """The name of a class, with its module unless builtin."""
    module = getattr(kind, "__module__", None)
    name = getattr(kind, "__qualname__", None) or kind.__name__
    return name if module in (None, "builtins") else "%s.%s" % (module, name)


class Teller:
    """Puts exceptions into words that are the same every time."""

    def __init__(self, strip):
        self.strip = strip  # pairs of a folder and what stands for it

    def clean(self, text):
        for folder, instead in self.strip:
            text = text.replace(folder, instead)
        return ADDRESS.sub("0x…", text)

    def message(self, e):
        try:
            return self.clean(str(e))[:LONGEST_TEXT]
        except BaseException as f:
            return "(no message: its __str__ raised %s)" % type_name(type(f))

    def traceback(self, e):
        try:
            told = TracebackException(type(e), e, e.__traceback__)
            without_ours(told, set())
            text = self.clean("".join(told.format()))
        except BaseException as f:
            return "(no traceback: formatting it raised %s)" % type_name(type(f))
        if len(text) > LONGEST_TEXT:
            text = text[:LONGEST_TEXT // 4] + "\n…\n" + text[-(LONGEST_TEXT // 4 * 3 - 8):]
        return text

    def failure(self, e, phase):
        """What the exception says, as a dict for a frame."""
        if isinstance(e, Failure):
            return {"phase": e.phase, "type": e.kind, "message": self.clean(e.message), "hint": self.clean(e.hint)}
        return {"phase": phase, "type": type_name(type(e)), "message": self.message(e), "traceback": self.traceback(e)}


def without_ours(told, seen):
    """Takes this file's frames out of an exception and of all that are chained to it."""
    if told is None or id(told) in seen:
        return
    seen.add(id(told))
    told.stack = StackSummary.from_list([f for f in told.stack if f.filename != __file__])
    without_ours(told.__cause__, seen)
    without_ours(told.__context__, seen)
    for member in getattr(told, "exceptions", None) or ():
        without_ours(member, seen)


def is_memory(e):
    """Whether an exception says that memory, or the accelerator's, was not enough."""
    if isinstance(e, MemoryError):
        return True
    for kind in type(e).__mro__:
        if kind.__name__ in ("OutOfMemoryError", "ResourceExhaustedError"):
            return True
    if not isinstance(e, RuntimeError) and type(e).__name__ != "XlaRuntimeError":
        return False
    try:
        text = str(e)
    except BaseException:
        return False
    return "RESOURCE_EXHAUSTED" in text or ("out of memory" in text.lower() and re.search("CUDA|HIP|MPS|XPU", text) is not None)


# Decoding: instances are texts, each followed by a line feed.


def decode_all(text, count):
    """The values of all lines in one go, or None where a line is not exactly one value."""
    if text.count("\n") != count:
        return None  # an instance holds a line feed itself
    values = []
    append = values.append
    at = 0
    try:
        for _ in range(count):
            # A value may reach over a line's end when two broken lines pair up: then there
            # are fewer values than lines, and the text ends before the loop.
            value, at = scan(text, at)
            if text[at] != "\n":
                return None
            at += 1
            append(value)
    except MemoryError:
        raise
    except Exception:
        return None
    return values if at == len(text) else None


def decode_one(raw):
    """The value of one instance; a Failure says what is wrong with its text."""
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError as e:
        raise Failure("read", "InvalidJSON", "not UTF-8: %s at byte %d" % (e.reason, e.start + 1)) from None
    at = len(text) - len(text.lstrip(WHITE))
    try:
        value, end = scan(text, at)
    except StopIteration as e:
        what = "Unexpected UTF-8 BOM (decode using utf-8-sig)" if text.startswith("\ufeff") else "Expecting value"
        raise invalid(what, text, e.value) from None
    except ValueError as e:
        if not hasattr(e, "pos"):
            raise  # more digits than Python reads: the text is JSON
        raise invalid(e.msg, text, e.pos) from None
    rest = text[end:].lstrip(WHITE)
    if rest:
        raise invalid("Extra data", text, len(text) - len(rest))
    return value


def invalid(what, text, at):
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    where = "column %d" % column if line == 1 else "line %d column %d" % (line, column)
    if what.endswith(" at"):
        what = what[:-3]  # as in "Invalid control character at"
    return Failure("read", "InvalidJSON", "%s at %s" % (what, where))


def decode_b64(value):
    """The value with each {"b64": text} in it as bytes."""
    if type(value) is dict:
        if len(value) == 1 and type(value.get("b64")) is str:
            try:
                return b64decode(value["b64"], validate=True)
            except ValueError as e:
                raise Failure("read", "InvalidBase64", "b64: %s" % e) from None
        for key, member in value.items():
            if type(member) in (dict, list):
                value[key] = decode_b64(member)
    elif type(value) is list:
        for i, member in enumerate(value):
            if type(member) in (dict, list):
                value[i] = decode_b64(member)
    return value


# Encoding.


def encode_one(value, encode):
    """The text of one prediction; a Failure where NaN keeps it from being JSON."""
    try:
        return encode(value)
    except ValueError as e:
        if not str(e).startswith("Out of range float"):
            raise
    text = encode_lenient(value)
    found = NOT_JSON.search(STRING.sub("", text))
    if found is None:
        return text  # in the keys of a dict only, where json.dumps makes strings of them
    raise Failure("encode", "ValueError", "%s is not JSON; output.non_finite says what to write instead" % found.group())


class Worker:
    """The Predictor, and what the job says about calling it."""

    def __init__(self, channel, config):
        self.channel = channel
        self.config = config
        self.teller = Teller(config["strip"])
        self.encode = encode_strict if config["non_finite"] == "error" else encode_lenient
        self.lenient = self.encode is encode_lenient
        self.limit = config["result_limit"]
        self.predictor = None
        self.retry_kinds, self.retry_names = (), frozenset()
        self.user_mask = ()  # signals that the user's code has blocked
        self.user_gc = True

    def load(self):
        """Imports the class and makes the Predictor."""
        config = self.config
        sys.path.extend(config["paths"])
        kind = find_class(config["class"], config["paths"])
        check_class(kind, config["class"])
        predictor = kind.from_path(config["model_dir"])
        self.channel.only_the_worker()
        check_predictor(predictor)
        self.retry_kinds = tuple(find_exception(name) for name in config["retry_on"])
        self.retry_names = frozenset(config["retry_on"])
        self.predictor = predictor

    def enter_user(self):
        """Begins the time of the user's code."""
        if self.user_gc:
            gc_enable()
        self.mask_signals(SIG_SETMASK, self.user_mask)

    def leave_user(self):
        """Ends the time of the user's code: its signal handlers wait until the next call."""
        self.channel.only_the_worker()
        self.user_gc = gc_enabled()
        gc_disable()
        mask = self.mask_signals(SIG_BLOCK, ALL_SIGNALS)
        if mask is not None:
            self.user_mask = mask

    @staticmethod
    def mask_signals(how, signals):
        try:
            return pthread_sigmask(how, signals)
        except BaseException:
            # A handler that had been waiting raised: the mask is set all the same, and
            # what it raised belongs to no call.
            write_error("cpr-batch: a signal handler raised between two calls\n" + format_exc())
            return None

    def answer(self, sequence, count, payload):
        """Makes one predict call and sends what came of it."""
        arm(CALL.unpack_from(payload)[0], file=self.channel.trace.get())
        try:
            parts, flags = self.predict(count, payload)
            kind = ANSWER
        except BaseException as e:
            self.channel.only_the_worker()
            parts, flags, kind = (self.raised(e),), 0, RAISED
        finally:
            disarm()
        self.channel.send(kind, sequence, count, parts, flags)

    def raised(self, e):
        try:
            return self.tell(e)
        except BaseException as f:
            # Its class does not let it be looked at; the repr is <class 'its.Name'>.
            names = [type.__repr__(type(x))[8:-2] for x in (e, f)]
            return dumps({"kind": "raised", "phase": "predict", "type": names[0],
                          "message": "(no message: looking at the exception raised %s)" % names[1]}).encode()

    def tell(self, e):
        kind = "raised"
        if is_memory(e) or (isinstance(e, Failure) and e.kind == "PredictionTooLarge"):
            kind = "memory"
        elif isinstance(e, self.retry_kinds) or any(type_name(k) in self.retry_names for k in type(e).__mro__):
            kind = "retry"
        try:
            return dumps(dict(self.teller.failure(e, "predict"), kind=kind)).encode()
        finally:
            set_traceback(e, None)

    def predict(self, count, payload):
        began = clock()
        values, places, kwargs, failures = self.decode(count, payload)
        decoded = predicted = clock()
        items = []
        if values:
            self.enter_user()
            try:
                items = self.predictor.predict(values, **kwargs)
            finally:
                self.leave_user()
            predicted = clock()
            items = check_result(items, len(places))
        del values
        texts, flags = self.encode_all(items, places, failures)
        notes = b"".join(FAILURE.pack(i, len(note)) + note for i, note in sorted(failures.items()))
        times = TIMES.pack(decoded - began, predicted - decoded, clock() - predicted, len(failures))
        if len(times) + len(notes) + len(texts) > self.limit:
            too_large = Failure("encode", "PredictionTooLarge", "the predictions of one call take %d bytes; %d are the limit"
                                % (len(texts), self.limit))
            if count > 1:
                raise too_large
            note = dumps(self.teller.failure(too_large, "encode")).encode()
            return (TIMES.pack(decoded - began, predicted - decoded, clock() - predicted, 1), FAILURE.pack(0, len(note)), note, b"[]"), 0
        return (times, notes, texts), flags

    def decode(self, count, payload):
        """Values, their places in the batch, kwargs, and the failures by place."""
        kwargs_length = CALL.unpack_from(payload)[1]
        at = CALL.size + 4 * count
        kwargs = {}
        if kwargs_length:
            kwargs = json_object(payload[at:at + kwargs_length])
            at += kwargs_length
        body = memoryview(payload)[at:]
        values = None
        try:
            values = decode_all(str(body, "utf-8"), count)
        except UnicodeDecodeError:
            pass
        if values is not None and not self.config["decode_b64"]:
            return values, range(count), kwargs, {}
        failures, places, good = {}, [], []
        at = 0
        for i, length in enumerate(struct.unpack_from("<%dI" % count, payload, CALL.size)):
            try:
                value = decode_one(body[at:at + length]) if values is None else values[i]
                good.append(decode_b64(value) if self.config["decode_b64"] else value)
                places.append(i)
            except MemoryError:
                raise
            except Exception as e:
                failures[i] = self.note(e, "read")
            at += length + 1
        return good, places, kwargs, failures

    def encode_all(self, items, places, failures):
        """The JSON array of all predictions that can be written; the others join failures."""
        try:
            text = self.encode(items)
        except MemoryError:
            raise
        except BaseException:
            text = None  # which ones it is, and why, is found one by one
        if text is None:
            texts = []
            for i, item in zip(places, items):
                try:
                    texts.append(encode_one(item, self.encode))
                except MemoryError:
                    raise
                except BaseException as e:
                    failures[i] = self.note(e, "encode")
            text = "[" + ",".join(texts) + "]"
        self.channel.only_the_worker()
        flags = NON_FINITE if self.lenient and ("NaN" in text or "Infinity" in text) else 0
        return text.encode("utf-8", "backslashreplace"), flags  # what UTF-8 has no bytes for are lone surrogates

    def note(self, e, phase):
        told = self.teller.failure(e, phase)
        if phase == "read" or isinstance(e, (TypeError, ValueError, RecursionError)):
            told.pop("traceback", None)  # it would show nothing but json's own frames
        return dumps(told).encode()


def json_object(raw):
    try:
        value = decode_one(raw)
    except Failure as e:
        raise Failure("read", "InvalidJSON", "kwargs: %s" % e.message) from None
    if type(value) is not dict:
        raise Failure("read", "InvalidJSON", "kwargs are not a JSON object")
    return value


def check_result(result, count):
    """The result as a list of our own with one element an instance."""
    if isinstance(result, types.CoroutineType):
        result.close()
        raise Failure("predict", "NotAList", "predict returned a coroutine, not a list: async def predict is not supported yet; write def predict")
    if not isinstance(result, (list, tuple)):
        kind = type(result)
        name = type_name(kind)
        text = "predict returned %s, not a list" % ("None" if result is None else "%s %s" % ("an" if name[0] in "aeiouAEIOU" else "a", name))
        if result is None:
            text += "; is a return missing?"
        elif hasattr(result, "tolist"):
            text += "; return it with .tolist()"
        elif hasattr(kind, "__next__"):
            text += "; make a list of it with list()"
        raise Failure("predict", "NotAList", text)
    items = list(result)
    if len(items) != count:
        raise Failure("predict", "WrongLength", "%s for %s" % (number(len(items), "prediction"), number(count, "instance")))
    return items


def number(n, what):
    return "%d %s" % (n, what if n == 1 else what + "s")


# Finding and checking the class.


def import_parts(name, fewer):
    """The longest prefix of a dotted name that is a module, and the parts behind it, which
    are at least fewer; no module: None. An error while importing is the module's own."""
    parts = name.split(".")
    module = None
    for i in range(1, len(parts) - fewer + 1):
        path = ".".join(parts[:i])
        try:
            __import__(path)
        except ModuleNotFoundError as e:
            if e.name != path:
                raise
            return module, parts[i - 1:]
        module = sys.modules[path]
    return module, parts[len(parts) - fewer:]


def find_class(name, paths):
    """The class of that dotted name, as pydoc.locate finds it."""
    parts = name.split(".")
    if len(parts) < 2 or "" in parts:
        raise Failure("import", "ValueError", "%r names no module: model.prediction_class is module.Class" % name)
    module, rest = import_parts(name, 0)
    if module is None:
        raise Failure("import", "ModuleNotFoundError", "No module named %r in the packages" % parts[0], module_hint(parts, paths))
    found = module
    for i, part in enumerate(rest):
        if not hasattr(found, part):
            raise Failure("import", "AttributeError", *no_such_class(module, found, rest[:i], part, paths))
        found = getattr(found, part)
    if isinstance(found, types.ModuleType):
        raise Failure("import", "TypeError", "%s is a module, not a class" % name, "model.prediction_class is module.Class; " + its_classes(found, ""))
    return found


def no_such_class(module, owner, above, part, paths):
    where = "module %r" % module.__name__ if owner is module else "%r of module %r" % (".".join(above), module.__name__)
    hint = its_classes(owner, part)
    file = getattr(module, "__file__", None) or ""
    if not any(file.startswith(path.rstrip("/") + "/") for path in paths):
        hint = "the module comes from %s, not from the packages: installed modules come first, so give yours another name" % (file or "Python itself")
    return "%s has no class %r" % (where, part), hint


def its_classes(owner, near):
    """Says which classes a module or class holds, those with names like near first."""
    own = sorted(n for n, v in vars(owner).items() if isinstance(v, type) and not n.startswith("__"))
    here = [n for n in own if getattr(vars(owner)[n], "__module__", None) == getattr(owner, "__name__", None)]
    names = nearest(near, here or own)
    return "it has: " + ", ".join(names[:10]) if names else "it has no class at all"


def nearest(name, names):
    import difflib

    first = difflib.get_close_matches(name, names, 3, 0.5)
    return first + [n for n in names if n not in first]


def module_hint(parts, paths):
    """Says which modules the packages hold instead."""
    if not paths:
        return "no packages are given: model.package_uris names what holds the class"
    top, deeper = set(), []
    for path in paths:
        for folder, folders, files in os.walk(path):
            inside = os.path.relpath(folder, path)
            depth = 0 if inside == "." else inside.count("/") + 1
            folders[:] = sorted(f for f in folders if depth < 3 and f.isidentifier() and not f.startswith(("_", ".")))
            names = [f.partition(".")[0] for f in files if f.endswith((".py", ".so")) and f.partition(".")[0].isidentifier()]
            if depth == 0:
                top.update(n for n in names if n not in ("setup", "conftest"))
                top.update(f for f in folders if any(g.endswith((".py", ".so")) for g in os.listdir(os.path.join(path, f))))
            elif parts[0] in names:
                deeper.append(".".join(inside.split("/") + parts))
    if deeper:
        return "did you mean %s?" % " or ".join(deeper[:3])
    return "the packages hold: " + ", ".join(nearest(parts[0], sorted(top))[:20]) if top else "the packages hold no Python module"


def check_class(kind, name):
    """The vendor's checks on the class, in its order."""
    if not hasattr(kind, "from_path"):
        if hasattr(kind, "load"):
            raise Failure("load", "AttributeError", "%s has load and no from_path: Vertex AI's interface is not built yet" % name,
                          "give the class a from_path(cls, model_dir) that returns the Predictor")
        what = "" if isinstance(kind, type) else " (it is %s, not a class)" % type_name(type(kind))
        raise Failure("load", "AttributeError", "%s has no from_path%s" % (name, what), "a Predictor has from_path(cls, model_dir), a classmethod, and predict(self, instances, **kwargs)")
    if not hasattr(kind, "predict"):
        raise Failure("load", "AttributeError", "%s has no predict" % name, "a Predictor has predict(self, instances, **kwargs)")
    import inspect

    accepted = "accepted are predict(self, instances, **kwargs) and predict(self, instances), also with keyword-only arguments"
    if isinstance(inspect.getattr_static(kind, "predict", None), staticmethod):
        raise Failure("load", "TypeError", "%s.predict is a static method" % name, accepted)
    try:
        args = inspect.getfullargspec(kind.predict).args
    except TypeError as e:
        raise Failure("load", "TypeError", "the arguments of %s.predict can not be read: %s" % (name, e), accepted) from None
    if len(args) != 2:
        hint = accepted if args else accepted + "; a decorator hides them when its function is (*args, **kwargs)"
        raise Failure("load", "TypeError", "%s.predict takes (%s), not (self, instances)" % (name, ", ".join(args)), hint)


def check_predictor(predictor):
    if predictor is None:
        raise Failure("load", "TypeError", "from_path returned None, not a Predictor", "is a return missing?")
    if isinstance(predictor, types.CoroutineType):
        predictor.close()
        raise Failure("load", "TypeError", "from_path returned a coroutine: async def from_path is not supported")
    if not hasattr(predictor, "predict"):
        raise Failure("load", "TypeError", "from_path returned %s %s, which has no predict" % ("an object of type", type_name(type(predictor))))


def find_exception(name):
    """The exception class that a name of errors.retry_on stands for."""
    module, rest = (sys.modules["builtins"], [name]) if "." not in name else import_parts(name, 1)
    found = module
    if module is None:
        raise Failure("load", "ModuleNotFoundError", "errors.retry_on: %r: no module %r in %s" % (name, name.partition(".")[0], sys.executable),
                      "correct the name, or name in python.requirements what holds it")
    for part in rest:
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise Failure("load", "ValueError", "errors.retry_on: %r is no exception" % name, "write it with its module: requests.exceptions.Timeout")
    return found


def hint_for(e):
    """What to do about an exception that was raised while loading."""
    seen = set()
    while e is not None and id(e) not in seen:
        seen.add(id(e))
        if isinstance(e, AttributeError) and "__main__" in str(e):
            name = re.search(r"attribute '([^']+)'", str(e))
            name = name.group(1) if name else "the class"
            homes = sorted(m for m, v in list(sys.modules.items()) if m != "__main__" and name in getattr(v, "__dict__", ()))
            home = " (%s has it)" % homes[0] if homes else ""
            return ("%s was pickled from a script, so the pickle looks for it in __main__: import it from a module of the package%s and pickle it again"
                    % (name, home))
        if isinstance(e, ModuleNotFoundError):
            return "%s is not installed in %s: name it in python.requirements, or choose another python.interpreter" % (
                (e.name or "it").partition(".")[0], sys.executable)
        e = e.__cause__ or e.__context__
    return ""


def tell_failure(teller, e):
    phase = "load"
    if not isinstance(e, Failure):
        told = e.__traceback__
        while told is not None:  # in which of our functions it was raised says the phase
            if told.tb_frame.f_code is find_class.__code__:
                phase = "import"
            told = told.tb_next
    told = teller.failure(e, phase)
    if not told.get("hint"):
        try:
            told["hint"] = teller.clean(hint_for(e))
        except Exception:
            told["hint"] = ""
    return dumps(told).encode()


def prepare():
    """Makes the process one in which the user's code feels at home."""
    main = types.ModuleType("__main__")
    main.__builtins__ = sys.modules["builtins"]
    sys.modules["__main__"] = main
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def serve(channel):
    """Loads the Predictor and answers calls until the end of input; the exit status."""
    frame = channel.receive()
    if frame is None:
        return 0
    config = json.loads(frame[3].decode())
    greeting = {"protocol": PROTOCOL, "python": "%d.%d.%d" % sys.version_info[:3], "implementation": sys.implementation.name,
                "encoding": "json", "thread": get_ident()}
    channel.send(GREETING, frame[1], 0, (dumps(greeting).encode(),))
    worker = Worker(channel, config)
    frame = channel.receive()
    if frame is None:
        return 0
    began = clock()
    spent = min(max(now() - BEGAN, 0), config["load_limit"])  # a clock may have been set meanwhile
    arm(max(config["load_limit"] - spent, 0.001), file=channel.trace.get())
    try:
        worker.load()
        if gc_enabled():
            collect()
        freeze()
        worker.leave_user()
    except BaseException as e:
        channel.only_the_worker()
        disarm()
        channel.send(FAILED, frame[1], 0, (tell_failure(worker.teller, e),))
        return 1
    disarm()
    channel.send(READY, frame[1], 0, (dumps({"seconds": (clock() - began) / 1e9}).encode(),))
    while True:
        frame = channel.receive()
        if frame is None:
            worker.enter_user()
            return 0
        if frame[0] != PREDICT:
            raise RuntimeError("frame of unknown kind %d" % frame[0])
        worker.answer(*frame[1:])
        frame = None


def run():
    ours = Channel()
    prepare()
    try:
        return serve(ours)
    except BaseException:
        # Only an exception that a signal handler of the user's raised between two calls
        # comes here: what was read or written by then is not certain, so nothing more is.
        ours.only_the_worker()
        write_error(format_exc())
        quit_now(70)


sys.exit(run())
