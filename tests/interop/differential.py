"""The SDK of a provider and `lmbatch` read the same values from the emulator.

differential.py PROVIDER --seed N --batches N
"""

import argparse
import collections
import importlib
import json
import pathlib
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor

import batches
import command
from checks import Checks, advance

# Starting the command takes most of the time.
WORKERS = 2
# Batches that end before all their requests are answered.
STOPPED = ("expired", "cancelled")
# Maximum number of differences that are shown.
SHOWN = 5
# The part of a wire id after the run's own token.
PLACE_DIGITS, PLACE_BASE = 7, 32

parser = argparse.ArgumentParser()
parser.add_argument("provider", choices=["openai", "anthropic", "google"])
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--batches", type=int, required=True)
options = parser.parse_args()

sdk = importlib.import_module(f"reads_{options.provider}")
check = Checks(f"lmbatch and {sdk.SDK}")
# The same seed and provider give the same batches.
chance = random.Random(f"{options.seed} {options.provider}")
made = batches.generate(chance, options.batches, sdk.ROUTES)
folder = tempfile.TemporaryDirectory(prefix="lmbatch-interop-")


def create(place):
    batch = made[place]
    if batch.by_us:
        lines = [json.dumps(batches.line(asked)) + "\n" for asked in batch.asked]
        path = pathlib.Path(folder.name, f"{place}.jsonl")
        path.write_text("".join(lines), encoding="utf-8")
        batch.handle = f"{path}.handle"
        route = () if sdk.NAME == "anthropic" else ("--route", batch.route)
        batch.id = command.create(sdk.NAME, sdk.MODEL, path, batch.handle, *route)
    else:
        batch.id = sdk.create(batch)
    if batch.cancelled and batch.by_us:
        try:
            sdk.cancel(batch.id)
        except sdk.HAS_ENDED:
            # The machine may be slow; a check below ensures that enough batches are cancelled.
            pass
    elif batch.cancelled:
        command.cancel(sdk.NAME, batch.id)


def ours(row):
    """A line of lmbatch's output in the form of the `reads_` modules."""
    if row["status"] != "succeeded":
        found = {"status": row["status"]}
        if row["status"] == "errored":
            found["code"] = row["error"]["code"]
        return found
    calls = row.get("tool_calls", [])
    return {
        "status": "succeeded",
        "problem": row.get("problem"),
        "text": row["text"],
        "calls": [[call["name"], call["arguments"]] for call in calls],
        "input": row["usage"]["input_tokens"],
        "output": row["usage"]["output_tokens"],
        "thinking": row["usage"]["thinking_tokens"],
        "model": row["model"],
        "response": row["response_id"],
    }


def place(wire_id):
    """The index of the request: wire ids end with its position in the batch."""
    return int(wire_id[-PLACE_DIGITS:], PLACE_BASE)


class Read:
    """One batch as each side reads it."""

    def __init__(self, batch):
        self.batch = batch
        self.theirs = dict(sdk.outcomes(batch.id, batch.route))
        rows = command.retrieve(sdk.NAME, batch.id)
        self.ids = [row["id"] for row in rows]
        self.ours = {row["id"]: ours(row) for row in rows}
        self.handled = None
        if batch.handle:
            rows = command.retrieve(sdk.NAME, batch.id, batch.handle)
            self.handled = [(row["id"], ours(row)) for row in rows]
        self.their_status = sdk.status(batch.id)
        self.our_status = command.status(sdk.NAME, batch.id)


def each(differences):
    """Fails with the first differences, each with its batch."""
    found = [f"{read.batch.id}: {said}" for read in reads for said in differences(read)]
    shown = "\n".join(found[:SHOWN])
    assert not found, f"{len(found)} differences\n{shown}"


@check(f"{options.batches} batches are made, half by either, some cancelled")
def _():
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(create, range(len(made))))
    advance()
    return f"seed {options.seed}"


with ThreadPoolExecutor(WORKERS) as pool:
    reads = list(pool.map(Read, made))


@check("statuses and counts of batches are equal")
def _():
    def differences(read):
        word, counts = read.their_status
        found = read.our_status
        if word != found["status"]:
            yield f"{found['status']}, and the SDK says {word}"
        same = {name: found["counts"][name] for name in counts}
        if same != counts:
            yield f"{same}, and the SDK says {counts}"

    each(differences)
    words = collections.Counter(read.their_status[0] for read in reads)
    for word in ("completed", "expired", "cancelled"):
        assert words[word], f"no batch is {word}: {words}"
    return ", ".join(f"{count} {word}" for word, count in sorted(words.items()))


@check("ids, outcomes, texts, tool calls, tokens and models are equal")
def _():
    def differences(read):
        for key in sorted(read.theirs.keys() | read.ours.keys()):
            ours, theirs = read.ours.get(key), read.theirs.get(key)
            if ours != theirs:
                yield f"{key}: {ours}, and the SDK reads {theirs}"

    each(differences)
    outcomes = [outcome for read in reads for outcome in read.theirs.values()]
    words = collections.Counter(outcome["status"] for outcome in outcomes)
    assert words["succeeded"] and words["errored"] and words["cancelled"], words
    return ", ".join(f"{count} {word}" for word, count in sorted(words.items()))


@check("no request has two outcomes")
def _():
    each(lambda read: [i for i, n in collections.Counter(read.ids).items() if n > 1])


@check("with a handle each request has its own id and its one outcome, in order")
def _():
    def differences(read):
        if read.handled is None:
            return
        asked = read.batch.asked
        if [key for key, _ in read.handled] != [one.key for one in asked]:
            yield "other ids, or another order"
        found = {place(key): outcome for key, outcome in read.theirs.items()}
        # A request without a row in a stopped batch was not processed.
        word = read.their_status[0]
        otherwise = {"status": word if word in STOPPED else "missing"}
        for number, (key, outcome) in enumerate(read.handled):
            theirs = found.get(number, otherwise)
            if theirs != outcome:
                yield f"{key}: {outcome}, and the SDK reads {theirs}"

    each(differences)
    handled = [outcome for read in reads for outcome in read.handled or []]
    assert handled
    return f"{len(handled)} requests"


check.done()
