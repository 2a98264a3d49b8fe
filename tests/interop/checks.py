"""Checks with one line of JSON each, from which `cargo xtask interop` makes a table."""

import json
import os
import sys
import time
import traceback
import urllib.request

# The emulator: scheme, host and port, without a path.
URL = os.environ.get("LMBATCH_INTEROP_URL", "")

# The emulator accepts any key except one that begins with "bad"; see docs/guide/emulator.md.
KEY = "emulated"
BAD_KEY = "bad-key"

# A batch at the brisk pace ends after 0.65 seconds of virtual time.
UNTIL_THE_END = 2


class Checks:
    """The checks of one suite. They run in their order and share state."""

    def __init__(self, suite):
        self.suite = suite
        self.failed = 0

    def __call__(self, name):
        """A decorator: the function is the check, and its return value is shown with its name."""

        def run(function):
            start = time.monotonic()
            try:
                detail, ok = function(), True
            except Exception as error:  # The table names it; the trace goes to stderr.
                traceback.print_exc()
                detail, ok = f"{type(error).__name__}: {str(error)[:400]}", False
            self.failed += not ok
            line = {"suite": self.suite, "name": name, "ok": ok}
            line["seconds"] = round(time.monotonic() - start, 3)
            line["detail"] = detail or ""
            print(json.dumps(line), flush=True)
            return function

        return run

    def done(self):
        sys.exit(1 if self.failed else 0)


def equal(found, expected, what=""):
    assert found == expected, f"{what}: {found!r}, expected {expected!r}"


def raises(kind, function, **facts):
    """The error with which a call ends, as values to compare."""
    try:
        value = function()
    except kind as error:
        # Not a subclass, which would hide that an error has a more general type than expected.
        equal(type(error).__name__, kind.__name__, "type of the error")
        for name, expected in facts.items():
            equal(getattr(error, name), expected, name)
        return error
    raise AssertionError(f"{kind.__name__} expected, but there is {value!r}")


def post(path, body=None):
    """Calls the emulator's own routes."""
    data = json.dumps(body).encode() if body is not None else b""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(URL + path, data, headers, method="POST")
    with urllib.request.urlopen(request) as response:
        return response.read()


def clear_faults():
    """Removes all faults."""
    url = URL + "/_emulator/faults"
    with urllib.request.urlopen(urllib.request.Request(url, method="DELETE")):
        pass


def advance(seconds=UNTIL_THE_END):
    """Advances virtual time, so that the batches created before have ended."""
    post(f"/_emulator/advance/{seconds}")


def fault(operation, code, body, headers=()):
    """Makes the next call of this operation return this status, without performing the call."""
    status = {"code": code, "body": body, "headers": list(headers)}
    post("/_emulator/faults", {"operation": operation, "kind": {"status": status}})
