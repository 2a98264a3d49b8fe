"""Answers in forms that the emulator does not produce: the SDK and `lmbatch` read them from the same bytes.

shapes.py PROVIDER
"""

import argparse
import collections
import importlib
import json

import batches
import command
from checks import Checks, advance, clear_faults, equal, post

# Number that stands for all calls of an operation.
ALWAYS = (1 << 32) - 1
# Maximum number of differences that are shown.
SHOWN = 8
# Minimum number of forms.
FEW = 15

parser = argparse.ArgumentParser()
parser.add_argument("provider", choices=["openai", "anthropic", "google"])
options = parser.parse_args()

sdk = importlib.import_module(f"reads_{options.provider}")
shapes = importlib.import_module(f"shapes_{options.provider}")
check = Checks(f"shapes: lmbatch and {sdk.SDK}")


def plain(value):
    """Returns a value with U+FFFD for each lone surrogate, which JSON allows and UTF-8 does not."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {plain(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def number(value):
    """Returns a count, which the provider writes as a number or as a string; None where it is unknown."""
    return None if value is None else int(float(value))


def ours(row):
    """A line of lmbatch's output in the form of the `shapes_` modules."""
    if row["status"] == "errored":
        error = row["error"]
        found = {name: error.get(name) for name in ("code", "message")}
        return {"status": "errored", **found, "retryable": error["retryable"]}
    if row["status"] != "succeeded":
        return {"status": row["status"]}
    items = row.get("items", [])
    usage = row.get("usage") or {}
    return {
        "status": "succeeded",
        "text": row["text"],
        "calls": [[c["name"], c["arguments"]] for c in row.get("tool_calls", [])],
        "refusal": "".join(i["text"] for i in items if i["type"] == "refusal"),
        "thinking": "".join(
            i.get("text", "") for i in items if i["type"] == "thinking"
        ),
        "citations": len([i for i in items if i["type"] == "citation"]),
        "finish": row["finish_reason"],
        "input": number(usage.get("input_tokens")),
        "output": number(usage.get("output_tokens")),
        "is_usable": "problem" not in row,
    }


def served(names, route, read):
    """Returns what `read` reads from a batch whose results are these forms, unchanged."""
    asked = [batches.Asked(f"s{n}", "hello", False, False) for n in range(len(names))]
    batch = batches.Batch(False, route, False, asked)
    batch.id = sdk.create(batch)
    advance()
    rows = [shapes.row(f"s{n}", shapes.SHAPES[route][name]) for n, name in enumerate(names)]
    for operation, kind in shapes.faults(batch, rows):
        post("/_emulator/faults", {"operation": operation, "times": ALWAYS, "kind": kind})
    try:
        return read(batch)
    finally:
        clear_faults()


def both(batch):
    rows = {row["id"]: row for row in command.retrieve(sdk.NAME, batch.id)}
    return dict(shapes.outcomes(batch.id, batch.route)), rows


for route in sdk.ROUTES:

    @check(f"answers of every shape are read alike, {route}")
    def _():
        names = list(shapes.SHAPES[route])
        assert len(names) >= FEW, f"{len(names)} shapes are few"
        theirs, rows = served(names, route, both)
        equal(len(theirs), len(names), "rows that the SDK reads")
        found, exceptions, words = [], 0, collections.Counter()
        for place, name in enumerate(names):
            row, read = rows.get(f"s{place}"), theirs[f"s{place}"]
            if row is None:
                found.append(f"{name}: there is no outcome")
                continue
            told, read = plain(ours(row)), plain(read)
            words[told["status"]] += 1
            expected = shapes.EXCEPTIONS.get(route, {}).get(name)
            if expected is not None:
                reason, changes = expected
                exceptions += 1
                # A difference that no longer occurs must be removed from the list.
                for member, value in changes.items():
                    if read.get(member) == value:
                        found.append(f"{name}: no exception ({reason}): {member}")
                read = {**read, **changes}
            different = {
                member: (told.get(member), value)
                for member, value in read.items()
                if told.get(member) != value
            }
            if different:
                found.append(f"{name}: ours and theirs {json.dumps(different)}")
        shown = "\n".join(found[:SHOWN])
        assert not found, f"{len(found)} differences\n{shown}"
        counts = ", ".join(f"{count} {word}" for word, count in sorted(words.items()))
        return f"{counts}; {exceptions} exceptions; {shapes.typed(route)} fit the SDK's own types"


check.done()
