"""Answers of Gemini, and their reading by Google's SDK."""

import json
import urllib.request

from google.genai import types

from checks import KEY, URL
from reads_google import client

USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
CALL = {"name": "f", "args": {"x": 1}}


def candidate(*parts, finish="STOP", index=0, **more):
    found = {"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}
    return {**found, "index": index, **more}


def answer(*candidates, usage=USAGE, **more):
    body = {"modelVersion": "m", "responseId": "r", **more}
    if candidates:
        body["candidates"] = list(candidates)
    return body if usage is ... else {**body, "usageMetadata": usage}


def said(*parts, usage=USAGE, **more):
    return answer(candidate(*parts, **more), usage=usage)


def text(text, **more):
    return {"text": text, **more}


def call(**more):
    return {"functionCall": {**CALL, **more}}


def finished(reason, *parts):
    return answer({"content": {"parts": list(parts)}, "finishReason": reason, "index": 0})


def error(code, status=None):
    found = {"code": code, "message": "m"}
    return {"error": {**found, "status": status} if status else found}


RATINGS = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": True}]
REASONS = (
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "MODEL_ARMOR",
)
BLOCKED = ("SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "JAILBREAK")
# Codes of google.rpc.Code, and HTTP statuses.
CODES = {3: False, 5: False, 7: False, 8: True, 13: True, 14: True, 400: False, 429: True, 503: True}

FILE = {
    "text": said(text("A")),
    "texts": said(text("A"), text("B")),
    "nothing": said(),
    "candidates, the second first": answer(
        candidate(text("B"), index=1), candidate(text("A"), index=0)
    ),
    "candidates, the first first": answer(
        candidate(text("A"), index=0), candidate(text("B"), index=1)
    ),
    "call": said(call()),
    "calls without ids": said(call(), call(args={"x": 2})),
    "calls with ids": said(call(id="a"), call(id="b")),
    "call without arguments": said({"functionCall": {"name": "f"}}),
    "call with null arguments": said(call(args=None)),
    "call under a seal": said({**call(), "thoughtSignature": "c2ln"}),
    "text and a call": said(text("A"), call()),
    "thought and text": said(text("hm", thought=True), text("A")),
    "only a thought": said(text("hm", thought=True)),
    "code and what it gave": said(
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
    ),
    "a picture": said({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}),
    "cut": finished("MAX_TOKENS", text("A")),
    "cut in lower case": finished("max_tokens", text("A")),
    **{f"filtered by {reason}": finished(reason) for reason in REASONS},
    "filtered, with ratings": answer(
        {"finishReason": "SAFETY", "index": 0, "safetyRatings": RATINGS}
    ),
    **{
        f"blocked by {reason}": answer(promptFeedback={"blockReason": reason})
        for reason in BLOCKED
    },
    "finish reason absent": answer({"content": {"parts": [text("A")]}, "index": 0}),
    "usage absent": said(text("A"), usage=...),
    "usage null": said(text("A"), usage=None),
    "usage of strings": said(
        text("A"), usage={"promptTokenCount": "10", "candidatesTokenCount": "5"}
    ),
    "usage of floats": said(
        text("A"), usage={"promptTokenCount": 10.0, "candidatesTokenCount": 5.0}
    ),
    "usage of thoughts": said(text("A"), usage={**USAGE, "thoughtsTokenCount": 7}),
    "citations": said(
        text("A"), citationMetadata={"citationSources": [{"startIndex": 0, "uri": "https://x.test"}]}
    ),
    "grounding": said(text("A"), groundingMetadata={"webSearchQueries": ["q"]}),
    "log probabilities": said(
        text("A"),
        avgLogprobs=-0.1,
        logprobsResult={"chosenCandidates": [{"token": "A", "logProbability": -0.1}]},
    ),
    "half a character": said(text("A\ud83d B")),
    "half a character in a call": said(call(args={"x": "\ud83d"})),
    **{f"error {code}": error(code) for code in CODES},
    # The expected result of lmbatch where the SDK's types reject the answer.
    "finish reason as a number": finished(2, text("A")),
    "content as a string": answer({"content": "A", "finishReason": "STOP"}),
    "call with an empty string": said(call(args="")),
    "call with a string": said(call(args='{"x": 1}')),
}

SHAPES = {"file": FILE, "inline": FILE}

READ = {
    "status": "succeeded",
    "text": "A",
    "calls": [],
    "thinking": "",
    "finish": "stop",
    "input": 10,
    "output": 5,
    "is_usable": True,
}
CALLED = {**READ, "text": "", "finish": "tool_use"}
REFUSED = {
    "finish reason as a number": {**READ, "finish": "length", "is_usable": False},
    "content as a string": READ,
    "call with an empty string": {**CALLED, "calls": [["f", {}]]},
    "call with a string": {**CALLED, "calls": [["f", {"x": 1}]]},
}
EXCEPTIONS = {
    route: {name: ("the SDK cannot read it", read) for name, read in REFUSED.items()}
    for route in SHAPES
}


def row(key, shape):
    return {"key": key, **(shape if "error" in shape else {"response": shape})}


def inlined(row):
    """Returns an inline row, whose key is in its metadata."""
    row = dict(row)
    return {"metadata": {"key": row.pop("key")}, **row}


def status(batch_id):
    """Returns a complete batch in the API's format."""
    headers = {"x-goog-api-key": KEY}
    ask = urllib.request.Request(f"{URL}/v1beta/{batch_id}", headers=headers)
    with urllib.request.urlopen(ask) as answer:
        return json.load(answer)


def faults(batch, rows):
    if batch.route == "file":
        text = "".join(json.dumps(row) + "\n" for row in rows)
        yield "content", {"body": {"bytes": text}}
        return
    job = status(batch.id)
    for place in (job["response"], job["metadata"]["output"]):
        place["inlinedResponses"] = {"inlinedResponses": [inlined(row) for row in rows]}
    yield "status", {"body": {"bytes": json.dumps(job)}}


def outcomes(batch_id, route):
    if route == "inline":
        # The SDK reads all inline answers or none, so each is read as the SDK reads a single one.
        job = status(batch_id)
        for row in job["response"]["inlinedResponses"]["inlinedResponses"]:
            yield row["metadata"]["key"], outcome(row)
        return
    job = client.batches.get(name=batch_id)
    for line in client.files.download(file=job.dest.file_name).decode().splitlines():
        line = json.loads(line)
        yield line["key"], outcome(line)


def outcome(row):
    if "error" in row:
        error = types.JobError.model_validate(row["error"])
        found = {"status": "errored", "code": str(error.code), "message": error.message}
        return {**found, "retryable": CODES[error.code]}
    try:
        read = types.GenerateContentResponse._from_response(response=row["response"], kwargs={})
    except (ValueError, AttributeError):
        return {}
    return told(read)


def told(answer):
    usage = answer.usage_metadata
    candidates = answer.candidates or []
    first = min(candidates, key=lambda one: one.index or 0) if candidates else None
    parts = (first and first.content and first.content.parts) or []
    calls = [part.function_call for part in parts if part.function_call]
    thoughts = [part for part in parts if part.thought]
    texts = [part.text for part in parts if part.text and not part.thought]
    others = [p for p in parts if p.executable_code or p.code_execution_result or p.inline_data]
    finish = finish_of(first, calls)
    if answer.prompt_feedback and answer.prompt_feedback.block_reason:
        finish = "content_filter"
    thinking = (usage and usage.thoughts_token_count) or 0
    return {
        "status": "succeeded",
        "text": "".join(texts),
        "calls": [[call.name, call.args or {}] for call in calls],
        "thinking": "".join(part.text for part in thoughts if part.text),
        "finish": finish,
        "input": usage and usage.prompt_token_count,
        "output": usage and (usage.candidates_token_count or 0) + thinking,
        "is_usable": bool(texts or calls or others)
        and finish not in ("length", "content_filter"),
    }


def finish_of(candidate, calls):
    reason = candidate and candidate.finish_reason
    if not reason or reason == types.FinishReason.STOP:
        return "tool_use" if calls else "stop"
    if reason == types.FinishReason.MAX_TOKENS:
        return "length"
    if reason.value in REASONS:
        return "content_filter"
    return reason.value.lower()


def typed(route):
    """Returns the number of answers that match the SDK's own types."""
    return sum(bool(outcome(row("k", shape))) for shape in SHAPES[route].values())
