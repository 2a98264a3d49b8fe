"""Requests of `lmbatch` match the request types of the provider's own SDK.

sent.py PROVIDER --seed N --lines N
"""

import argparse
import collections
import copy
import importlib.metadata
import itertools
import json
import pathlib
import random
import tempfile

import pydantic

import command
import corpus
import exceptions
import sent_types
import takes
from checks import URL, Checks, equal
from recorder import Recorder

PACKAGES = {"openai": "openai", "anthropic": "anthropic", "google": "google-genai"}
# Maximum number of mismatches that are shown, and of errors of each.
SHOWN, ERRORS = 5, 3
LONGEST = 1500
# Number of requests that are changed at each position.
TRIED = 20
# Features of a line besides the kinds of its attachments; each must have been sent.
KINDS = ("text", "tool_call", "tool_result", "thinking")

parser = argparse.ArgumentParser()
parser.add_argument("provider", choices=list(PACKAGES))
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--lines", type=int, required=True)
options = parser.parse_args()

package = PACKAGES[options.provider]
check = Checks(f"sent: {package} {importlib.metadata.version(package)}")
folder = tempfile.TemporaryDirectory(prefix="lmbatch-interop-")
recorder = Recorder(URL)
variants = takes.ALL[options.provider]
share = -(-options.lines // len(variants))
types = sent_types.ALL[options.provider]()
known = exceptions.ALL[options.provider]
used = collections.Counter()
requests = []

for name, data in corpus.FILES.items():
    pathlib.Path(folder.name, name).write_bytes(data)


def send(variant):
    """Returns everything that is sent for generated lines, by id."""
    name = f"{variant.model}-{variant.route}"
    # The same seed gives the same lines, independent of other generated data.
    chance = random.Random(f"{options.seed} {name}")
    lines = corpus.Corpus(chance, variant).lines(share)
    path = pathlib.Path(folder.name, f"{name}.jsonl")
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    before = len(recorder.calls)
    route = () if variant.provider == "anthropic" else ("--route", variant.route)
    command.lmbatch(
        *("run", path, "-m", f"{variant.provider}/{variant.model}", *route),
        *("--base-url", command.base_url(variant.provider, recorder.url)),
        *("--state-dir", pathlib.Path(folder.name, f"{name}.runs")),
        *("-o", f"{path}.out.jsonl", "--detach"),
    )
    return lines, list(types.requests(recorder.calls[before:]))


def mismatch(request):
    """Returns the difference between a request and the SDK's types, except for known exceptions."""
    request = copy.deepcopy(request)
    try:
        for reason, take_out in known.items():
            used[reason] += bool(take_out(request))
        request.pop("version", None)
        types.validate(request)
    except pydantic.ValidationError as error:
        # Of the many errors of a union, the deepest ones are the most informative.
        errors = sorted(error.errors(), key=lambda one: -len(one["loc"]))
        return "; ".join(
            f"{place(one['loc'])}: {one['msg']}" for one in errors[:ERRORS]
        )
    except (AssertionError, UserWarning) as error:
        return str(error)
    return None


def spoilt(request, path):
    """Returns the request with an unknown member, if it has this position."""
    request = copy.deepcopy(request)
    at = request
    for step in path:
        step = 0 if step == [] else step
        try:
            at = at[step]
        except (IndexError, KeyError, TypeError):
            return None
    if not isinstance(at, dict):
        return None
    at["lmb_unknown"] = 1
    return request


def texts(line):
    """Returns the features of a line in lmbatch's own format, without thoughts, some of which are dropped."""
    parts = [line.get("prompt"), line.get("system"), *listed(line.get("contents"))]
    for turn in line.get("messages", []):
        parts += listed(turn.get("content", turn.get("contents")))
    for part in parts:
        if isinstance(part, dict):
            part = part.get("text") if part["type"] == "text" else None
        if part:
            yield part


def listed(contents):
    return contents if isinstance(contents, list) else [contents]


def strings(value):
    """Yields every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def place(loc):
    # The name of a union lists all its members and is too long to read.
    return ".".join(str(step).split("[union")[0] for step in loc)


for variant in variants:

    @check(
        f"{share} lines for {variant.model}, {variant.route}: all fit, no text is lost"
    )
    def _():
        lines, sent = send(variant)
        requests.extend(request for _, request in sent)
        equal(len(sent), len(lines), "requests sent")
        equal(len({key for key, _ in sent}), len(lines), "different ids")
        found = [(key, request, mismatch(request)) for key, request in sent]
        found = [one for one in found if one[2]]
        shown = "\n".join(
            f"{key}: {said}\n  {json.dumps(request)[:LONGEST]}"
            for key, request, said in found[:SHOWN]
        )
        assert not found, f"{len(found)} of {len(sent)} do not fit\n{shown}"
        said = "\n".join(lines)
        for kind in {*KINDS, *(part["type"] for part in variant.attachments)}:
            assert f'"type": "{kind}"' in said, f"no line has a {kind}"
        if variant.given:
            assert '"output": [' in said, "no tool gives more than text"
        # Ids of a run sort like its lines.
        count = 0
        for line, (key, request) in zip(lines, sorted(sent, key=lambda one: one[0])):
            there = "\n".join(strings(request))
            spoken = list(texts(json.loads(line)))
            lost = [text for text in spoken if text not in there]
            assert not lost, f"{key}: {lost} is not in {json.dumps(request)[:LONGEST]}"
            count += len(spoken)
        assert count >= len(lines), f"{count} texts are few"
        return f"{count} texts"


@check("exceptions are few, listed, and each is met")
def _():
    # An exception that no longer occurs must be removed from the list.
    unmet = [reason for reason in known if not used[reason]]
    assert not unmet, unmet
    return "; ".join(f"{used[reason]} × {reason}" for reason in known)


@check("the types are strict: a member that nobody knows is found wherever it is")
def _():
    for path in types.PLACES:
        tried = filter(None, (spoilt(request, path) for request in requests))
        tried = list(itertools.islice(tried, TRIED))
        assert tried, f"no request has {path}"
        for request in tried:
            # The unchanged request matched before.
            assert mismatch(request), f"{path}: {json.dumps(request)[:LONGEST]}"
    return f"{len(types.PLACES)} places"


recorder.close()
check.done()
