"""Answers of Anthropic and compatible servers, and their reading by Anthropic's SDK."""

import json

from anthropic.types import Message
from pydantic import ValidationError

from reads_anthropic import batches

USAGE = {
    "input_tokens": 10,
    "output_tokens": 5,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}}
CITATION = {
    "type": "char_location",
    "cited_text": "A",
    "document_index": 0,
    "document_title": "t",
    "start_char_index": 0,
    "end_char_index": 1,
    "file_id": None,
}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}


def text(text, **more):
    return {"type": "text", "text": text, "citations": None, **more}


def message(*content, stop="end_turn", usage=USAGE, **more):
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        **more,
    }
    return body if usage is ... else {**body, "usage": usage}


def without(block, *names):
    return {name: value for name, value in block.items() if name not in names}


def error(kind):
    return {"error": {"type": "error", "error": {"type": kind, "message": "m"}}}


ERRORS = {
    kind: error(kind)
    for kind in (
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "rate_limit_error",
        "timeout_error",
        "api_error",
        "overloaded_error",
    )
}
# Kinds of errors after which a retry may succeed.
RETRYABLE = ("rate_limit_error", "timeout_error", "api_error", "overloaded_error")

INLINE = {
    "text": message(text("A")),
    "texts": message(text("A"), text("B")),
    "an empty text": message(text("")),
    "nothing": message(),
    "citations": message(text("A", citations=[CITATION, CITATION])),
    "call": message(CALL, stop="tool_use"),
    "text and calls": message(text("A"), CALL, {**CALL, "id": "toolu_2"}, stop="tool_use"),
    "call without an id": message(without(CALL, "id"), stop="tool_use"),
    "calls without ids": message(without(CALL, "id"), without(CALL, "id"), stop="tool_use"),
    "call without input": message(without(CALL, "input"), stop="tool_use"),
    "call with null input": message({**CALL, "input": None}, stop="tool_use"),
    "call with input as a string": message({**CALL, "input": '{"x": 1}'}, stop="tool_use"),
    "call with an empty string": message({**CALL, "input": ""}, stop="tool_use"),
    "thought and text": message(
        {"type": "thinking", "thinking": "hm", "signature": "s"}, text("A")
    ),
    "sealed thought and text": message({"type": "redacted_thinking", "data": "ZA=="}, text("A")),
    "only a thought": message({"type": "thinking", "thinking": "hm", "signature": "s"}),
    "search and text": message(SEARCH, FOUND, text("A")),
    "only a search": message(SEARCH, FOUND),
    "max_tokens": message(text("A"), stop="max_tokens"),
    "stop_sequence": message(text("A"), stop="stop_sequence", stop_sequence="END"),
    "pause_turn": message(text("A"), stop="pause_turn"),
    "model_context_window_exceeded": message(text("A"), stop="model_context_window_exceeded"),
    "stop_reason null": message(text("A"), stop=None),
    "stop_reason of a new kind": message(text("A"), stop="tired"),
    "refusal": message(stop="refusal"),
    "refusal after text": message(text("A"), stop="refusal"),
    "usage absent": message(text("A"), usage=...),
    "usage null": message(text("A"), usage=None),
    "usage with null caches": message(
        text("A"),
        usage={**USAGE, "cache_creation_input_tokens": None, "cache_read_input_tokens": None},
    ),
    "usage with caches": message(
        text("A"),
        usage={**USAGE, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 3},
    ),
    "usage of floats": message(text("A"), usage={"input_tokens": 10.0, "output_tokens": 5.0}),
    "usage of strings": message(text("A"), usage={"input_tokens": "10", "output_tokens": "5"}),
    "half a character": message(text("A\ud83d B")),
    "half a character in a call": message({**CALL, "input": {"x": "\ud83d"}}, stop="tool_use"),
    **ERRORS,
}

SHAPES = {"inline": INLINE}
EXCEPTIONS = {
    "inline": {
        "stop_reason of a new kind": (
            "a reason that no document names may be that of an answer which was cut off",
            {"is_usable": False},
        ),
    },
}


def row(key, shape):
    if set(shape) == {"error"}:
        return {"custom_id": key, "result": {"type": "errored", **shape}}
    return {"custom_id": key, "result": {"type": "succeeded", "message": shape}}


def faults(_batch, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    yield "content", {"body": {"bytes": text}}


def outcomes(batch_id, _route):
    for row in batches.results(batch_id):
        yield row.custom_id, outcome(row.result)


def number(value):
    return 0 if value is None else int(float(value))


def loaded(arguments):
    """Returns arguments, which are JSON in a string or a value; those of a tool without parameters are empty."""
    if isinstance(arguments, str):
        return json.loads(arguments) if arguments.strip() else {}
    return {} if arguments is None else arguments


FINISH = {
    None: "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "paused",
}
UNUSABLE = ("length", "paused", "refusal")


def outcome(result):
    if result.type == "errored":
        inner = result.error.error
        found = {"status": "errored", "code": inner.type, "message": inner.message}
        return {**found, "retryable": inner.type in RETRYABLE}
    answer = result.message
    blocks = {kind: [b for b in answer.content if b.type == kind] for kind in KINDS}
    usage, finish = answer.usage, FINISH.get(answer.stop_reason, answer.stop_reason)
    cached = ("cache_creation_input_tokens", "cache_read_input_tokens")
    said = "".join(block.text for block in blocks["text"])
    # A search alone is no answer to the caller.
    made = blocks["tool_use"]
    return {
        "status": "succeeded",
        "text": said,
        "calls": [[call.name, loaded(call.input)] for call in blocks["tool_use"]],
        "thinking": "".join(block.thinking for block in blocks["thinking"]),
        "citations": sum(len(block.citations or []) for block in blocks["text"]),
        "finish": finish,
        "input": usage
        and number(usage.input_tokens)
        + sum(number(getattr(usage, name, None)) for name in cached),
        "output": usage and number(usage.output_tokens),
        "is_usable": bool(said or made) and finish not in UNUSABLE,
    }


KINDS = ("text", "tool_use", "thinking", "server_tool_use", "web_search_tool_result")


def typed(route):
    """Returns the number of answers that match the SDK's own strict types."""
    return sum(fits(shape) for shape in SHAPES[route].values())


def fits(shape):
    try:
        Message.model_validate(shape)
    except ValidationError:
        return False
    return True
