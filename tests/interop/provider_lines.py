"""The providers' SDKs read the lines that `lmbatch retrieve --output-format` writes, for runs of every provider."""

import collections
import json
import pathlib
import random
import tempfile

import anthropic
import openai
import pydantic
from anthropic.types.messages import MessageBatchIndividualResponse
from openai.types.chat import ChatCompletion

import batches
import command
import reads_anthropic
import reads_openai
from checks import Checks, equal

MODELS = {
    "openai": "gpt-5-mini",
    "anthropic": "claude-haiku-4-5",
    "google": "gemini-2.5-flash",
}
SEED, BATCHES = 20261123, 12
# A run would wait for the missing row of the first. At Google the second ends the whole batch.
NOT_SENT = {"google": ("lmb:unanswered", "lmb:expire")}

check = Checks(f"openai {openai.__version__}, anthropic {anthropic.__version__}")
folder = tempfile.TemporaryDirectory(prefix="lmbatch-interop-")
state = ("--state-dir", str(pathlib.Path(folder.name, "state")))


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


def run(provider):
    """Runs generated requests, and returns the outcomes in each format."""
    chance = random.Random(f"{SEED} {provider}")
    made = batches.generate(chance, BATCHES, ("one",))
    not_sent = NOT_SENT.get(provider, ("lmb:unanswered",))
    asked = [one for batch in made for one in batch.asked]
    asked = [one for one in asked if not any(word in one.text for word in not_sent)]
    lines = {one.key: json.dumps(batches.line(one)) + "\n" for one in asked}
    path = pathlib.Path(folder.name, f"{provider}.jsonl")
    path.write_text("".join(lines.values()), encoding="utf-8")
    model = ("-m", f"{provider}/{MODELS[provider]}")
    more = ("--emulate", "--max-attempts", "1", "--json", *state)
    said = command.lmbatch("run", path, *model, *more, codes=command.FINISHED)
    run_id = json.loads(said)["run"]

    def written(name):
        args = ("retrieve", run_id, "--output-format", name, *state)
        return rows(command.lmbatch(*args, codes=command.FINISHED))

    return {name: written(name) for name in ("jsonl", "openai", "anthropic")}


def known(model):
    """Fails where a line has a member that the SDK's types do not have."""
    assert not model.model_extra, f"{type(model).__name__}: {model.model_extra}"
    for _, value in model:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, pydantic.BaseModel):
                known(one)


def ours(row):
    """The values of an outcome that both formats hold."""
    if row["status"] != "succeeded":
        return {"status": row["status"]}
    calls = row.get("tool_calls", [])
    return {
        "status": "succeeded",
        "text": row["text"],
        "calls": [[call["name"], call["arguments"]] for call in calls],
        "input": row["usage"]["input_tokens"],
        "output": row["usage"]["output_tokens"],
        "thinking": row["usage"]["thinking_tokens"],
        "model": row["model"],
        "response": row["response_id"],
    }


def compared(found, name, read):
    for own, row in zip(found["jsonl"], found[name], strict=True):
        equal(row["custom_id"], own["id"], "id")
        theirs = read(row)
        theirs.pop("problem", None)
        theirs.pop("code", None)
        equal(theirs, ours(own), own["id"])
    words = collections.Counter(row["status"] for row in found["jsonl"])
    assert words["succeeded"] and words["errored"], words
    return ", ".join(f"{count} {word}" for word, count in sorted(words.items()))


def of_openai(row):
    equal(set(row), {"id", "custom_id", "response", "error"}, "members")
    if row["response"] and row["response"]["status_code"] == 200:
        known(ChatCompletion.model_validate(row["response"]["body"]))
    return reads_openai.outcome(row, "chat")


def of_anthropic(row):
    line = MessageBatchIndividualResponse.model_validate(row)
    known(line)
    return reads_anthropic.outcome(line.result)


for provider in MODELS:
    found = run(provider)

    @check(f"{provider}: lines of the format openai are chat completions")
    def _():
        return compared(found, "openai", of_openai)

    @check(f"{provider}: lines of the format anthropic are individual responses")
    def _():
        return compared(found, "anthropic", of_anthropic)


check.done()
