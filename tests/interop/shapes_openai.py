"""Answers of OpenAI and compatible servers, and their reading by OpenAI's SDK."""

import json

import httpx2
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import ValidationError

from reads_openai import client

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
CITATION = {
    "type": "url_citation",
    "url_citation": {"start_index": 0, "end_index": 1, "title": "t", "url": "https://x.test"},
}
LOGPROBS = {
    "content": [{"token": "A", "logprob": -0.1, "bytes": [65], "top_logprobs": []}],
    "refusal": None,
}


def chat(finish="stop", more=None, usage=USAGE, **message):
    message = {"role": "assistant", "content": None, "refusal": None, **message}
    choice = {"index": 0, "finish_reason": finish, "message": message, "logprobs": None}
    return completion([{**choice, **(more or {})}], usage)


def completion(choices, usage=USAGE):
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    found = {**body, "choices": choices}
    return found if usage is ... else {**found, "usage": usage}


def choice(index, text):
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"index": index, "finish_reason": "stop", "message": message, "logprobs": None}


def called(*calls, **more):
    return chat("tool_calls", tool_calls=list(calls), **more)


def without(call, *names):
    return {name: value for name, value in call.items() if name not in names}


def arguments(value):
    return {**CALL, "function": {"name": "f", "arguments": value}}


def error(status, body):
    return {"status": status, "body": body}


# Bodies of row errors; `status` is the HTTP status.
ERRORS = {
    "error, nested": error(
        400,
        {"error": {"message": "m", "type": "invalid_request_error", "param": "x", "code": "bad"}},
    ),
    "error, flat (vLLM)": error(
        400,
        {"object": "error", "message": "m", "type": "BadRequestError", "param": None, "code": 400},
    ),
    "error, flat and nested": error(
        404, {"error": {"message": "m", "type": "NotFoundError", "param": None, "code": 404}}
    ),
    "error without a code": error(
        500, {"error": {"message": "m", "type": "server_error", "param": None, "code": None}}
    ),
    "error, only a message": error(429, {"message": "m"}),
    "error, detail (FastAPI)": error(422, {"detail": "m"}),
    "error, details (FastAPI)": error(
        422, {"detail": [{"loc": ["body", "messages"], "msg": "m", "type": "missing"}]}
    ),
    "error, a string": error(503, {"error": "m"}),
    "error, overloaded": error(529, {"error": {"message": "m", "code": "overloaded"}}),
    "error, rate limit": error(
        429, {"error": {"message": "m", "type": "requests", "code": "rate_limit_exceeded"}}
    ),
    "error, a key": error(401, {"error": {"message": "m", "code": "invalid_api_key"}}),
    "error, forbidden": error(403, {"error": {"message": "m", "code": "unsupported_country"}}),
    "error, a timeout": error(408, {"error": {"message": "m", "code": "timeout"}}),
    "error, too large": error(413, {"error": {"message": "m", "type": "invalid_request_error"}}),
    "error, a gateway": error(502, {"error": {"message": "m"}}),
}

CHAT = {
    "text": chat(content="A"),
    "legacy function_call": chat(
        "function_call", function_call={"name": "f", "arguments": '{"x": 1}'}
    ),
    "legacy function_call with an object": chat(
        "function_call", function_call={"name": "f", "arguments": {"x": 1}}
    ),
    "legacy function_call beside text": chat(
        "function_call", content="A", function_call={"name": "f", "arguments": ""}
    ),
    "call": called(CALL),
    "calls": called(CALL, {**CALL, "id": "c2"}, content="A"),
    "call with an object": called(arguments({"x": 1})),
    "call with empty arguments": called(arguments("")),
    "call with null arguments": called(arguments(None)),
    "call without an id": called(without(CALL, "id")),
    "call with a null id": called({**CALL, "id": None}),
    "calls without ids": called(without(CALL, "id"), without(CALL, "id")),
    "call without a type": called(without(CALL, "type")),
    "call of a custom tool": called(
        {"id": "c", "type": "custom", "custom": {"name": "g", "input": "x"}}
    ),
    "content as a list of parts": chat(
        content=[{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    ),
    "content as a list of strings": chat(content=["A", "B"]),
    "content as a list of nothing": chat(content=[]),
    "choices, the second first": completion([choice(1, "B"), choice(0, "A")]),
    "choices, the first first": completion([choice(0, "A"), choice(1, "B")]),
    "choices with strings as indexes": completion([choice("1", "B"), choice("0", "A")]),
    "choices without indexes": completion(
        [without(choice(0, "A"), "index"), without(choice(1, "B"), "index")]
    ),
    "choices with floats as indexes": completion([choice(1.0, "B"), choice(0.0, "A")]),
    "usage absent": chat(content="A", usage=...),
    "usage null": chat(content="A", usage=None),
    "usage of floats": chat(
        content="A", usage={"prompt_tokens": 10.0, "completion_tokens": 5.0}
    ),
    "usage of strings": chat(
        content="A", usage={"prompt_tokens": "10", "completion_tokens": "5"}
    ),
    "usage with details": chat(
        content="A",
        usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0}},
    ),
    "refusal": chat(refusal="No."),
    "refusal beside null": chat(refusal="No.", tool_calls=None, annotations=[]),
    "log probabilities": chat(content="A", more={"logprobs": LOGPROBS}),
    "citations": chat(content="A", annotations=[CITATION, CITATION]),
    "finish reason null": chat(None, content="A"),
    "finish reason length": chat("length", content="A"),
    "finish reason content_filter": chat("content_filter", content="A"),
    "half a character": chat(content="A\ud83d B"),
    "half a character in a call": called(arguments('{"x": "\\ud83d"}')),
    "nothing": chat(),
    "an empty text": chat(content=""),
    **ERRORS,
}


def response(*output, status="completed", usage=..., **more):
    body = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "m",
        "output": list(output),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 15,
        },
        **more,
    }
    return body if usage is ... else {**body, "usage": usage}


def said(*parts, **more):
    found = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    return {**found, "content": list(parts), **more}


def part(text, **more):
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": [], **more}


def asks(arguments='{"x": 1}', **more):
    found = {"type": "function_call", "id": "fc", "call_id": "c", "name": "f"}
    return {**found, "arguments": arguments, "status": "completed", **more}


THOUGHT = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]}
CITED = {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "t", "url": "https://x.test"}
SEARCH = {
    "type": "web_search_call",
    "id": "ws",
    "status": "completed",
    "action": {"type": "search", "query": "q"},
}

RESPONSES = {
    "text": response(said(part("A"))),
    "texts": response(said(part("A"), part("B")), said(part("C"))),
    "commentary and final answer": response(
        said(part("Hm."), phase="commentary"), said(part("A"), phase="final_answer")
    ),
    "final answer and commentary": response(
        said(part("A"), phase="final_answer"), said(part("Done."), phase="commentary")
    ),
    "two final answers": response(
        said(part("A"), phase="final_answer"), said(part("B"), phase="final_answer")
    ),
    "phases null": response(said(part("A"), phase=None), said(part("B"), phase=None)),
    "commentary and a call": response(said(part("Hm."), phase="commentary"), asks()),
    "incomplete without details": response(said(part("A")), status="incomplete"),
    "incomplete without a reason": response(
        said(part("A")), status="incomplete", incomplete_details={"reason": None}
    ),
    "incomplete by length": response(
        said(part("A")),
        status="incomplete",
        incomplete_details={"reason": "max_output_tokens"},
    ),
    "incomplete by a filter": response(
        said(part("A")), status="incomplete", incomplete_details={"reason": "content_filter"}
    ),
    "incomplete by a new reason": response(
        said(part("A")), status="incomplete", incomplete_details={"reason": "tired"}
    ),
    "refusal": response(said({"type": "refusal", "refusal": "No."})),
    "refusal after text": response(said(part("A"), {"type": "refusal", "refusal": "No."})),
    "call": response(asks()),
    "calls": response(asks(), asks(call_id="d")),
    "call with an object": response(asks({"x": 1})),
    "call with empty arguments": response(asks("")),
    "call without ids": response(without(asks(), "id", "call_id")),
    "call of a custom tool": response(
        {"type": "custom_tool_call", "call_id": "c", "name": "g", "input": "x"}
    ),
    "thought and text": response(THOUGHT, said(part("A"))),
    "only a thought": response(THOUGHT),
    "search and text": response(SEARCH, said(part("A"))),
    "a picture": response(
        {"type": "image_generation_call", "id": "ig", "status": "completed", "result": "AAAA"}
    ),
    "citations": response(said(part("A", annotations=[CITED, CITED]))),
    "log probabilities": response(
        said(part("A", logprobs=[{"token": "A", "logprob": -1.0, "bytes": [65], "top_logprobs": []}]))
    ),
    "usage absent": without(response(said(part("A"))), "usage"),
    "usage null": response(said(part("A")), usage=None),
    "usage of floats": response(said(part("A")), usage={"input_tokens": 10.0, "output_tokens": 5.0}),
    "usage of strings": response(said(part("A")), usage={"input_tokens": "10", "output_tokens": "5"}),
    "half a character": response(said(part("A\ud83d B"))),
    "nothing": response(),
    "an empty text": response(said(part(""))),
    "failed": response(status="failed", error={"code": "server_error", "message": "m"}),
    "failed for good": response(
        status="failed", error={"code": "invalid_prompt", "message": "m"}
    ),
    **ERRORS,
}

SHAPES = {"chat": CHAT, "responses": RESPONSES}

# Intentional differences between the SDK and lmbatch: the reason, and the result of lmbatch.
EXCEPTIONS = {}


def row(key, shape):
    status, body = (shape["status"], shape["body"]) if set(shape) == {"status", "body"} else (200, shape)
    response = {"status_code": status, "request_id": "r", "body": body}
    return {"id": f"batch_req_{key}", "custom_id": key, "response": response, "error": None}


def faults(_batch, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    yield "content", {"body": {"bytes": text}}


def outcomes(batch_id, route):
    batch = client.batches.retrieve(batch_id)
    for line in client.files.content(batch.output_file_id).text.splitlines():
        line = json.loads(line)
        yield line["custom_id"], outcome(line["response"], route)


def outcome(answer, route):
    if answer["status_code"] != 200:
        return failed(answer["status_code"], answer["body"])
    return {"responses": read_response, "chat": read_chat}[route](answer["body"])


def failed(status, body):
    """Returns an error as the SDK's client raises it, and whether the client would retry."""
    request = httpx2.Request("POST", "https://x.test")
    answer = httpx2.Response(status, json=body, request=request)
    error = client._make_status_error_from_response(answer)
    code, said = error.code, error.body
    found = {"status": "errored", "retryable": client._should_retry(answer)}
    if code is not None:
        found["code"] = str(code)
    if isinstance(said, dict) and isinstance(said.get("message"), str):
        found["message"] = said["message"]
    elif "m" in json.dumps(said):
        # The SDK shows the whole body if it finds no message in it.
        found["message"] = "m"
    return found


def number(value):
    return None if value is None else int(float(value))


def loaded(arguments):
    """Returns arguments, which are JSON in a string or a value; those of a tool without parameters are empty."""
    if isinstance(arguments, str):
        return json.loads(arguments) if arguments.strip() else {}
    return {} if arguments is None else arguments


FINISH = {None: "stop", "tool_calls": "tool_use", "function_call": "tool_use"}


def read_chat(body):
    answer = ChatCompletion.construct(**body)
    choice = min(answer.choices, key=lambda one: number(one.index) or 0)
    message = choice.message
    calls = []
    for call in message.tool_calls or []:
        if call.type == "custom":
            calls.append([call.custom.name, call.custom.input])
        else:
            calls.append([call.function.name, loaded(call.function.arguments)])
    if old := message.function_call:
        calls.append([old.name, loaded(old.arguments)])
    content = message.content or ""
    if isinstance(content, list):
        content = "".join(p["text"] if isinstance(p, dict) else p for p in content)
    usage = answer.usage
    said = content or message.refusal or calls
    finish = choice.finish_reason
    if message.refusal and finish == "stop":
        finish = "refusal"
    return {
        "status": "succeeded",
        "text": content,
        "calls": calls,
        "refusal": message.refusal or "",
        "citations": len(message.annotations or []),
        "finish": FINISH.get(finish, finish),
        "input": usage and number(usage.prompt_tokens),
        "output": usage and number(usage.completion_tokens),
        "is_usable": bool(said)
        and finish not in ("length", "content_filter")
        and not message.refusal,
    }


def read_response(body):
    answer = Response.construct(**body)
    if answer.status == "failed":
        return {"status": "errored", "code": answer.error.code, "message": answer.error.message}
    spoken = [item for item in answer.output if item.type == "message"]
    # Commentary between steps is not part of the answer.
    final = [item for item in spoken if item.phase != "commentary"]
    parts = [part for item in final for part in item.content]
    texts = [part for part in parts if part.type == "output_text"]
    refusals = [part.refusal for part in parts if part.type == "refusal"]
    calls = [item for item in answer.output if item.type == "function_call"]
    made = [
        item
        for item in answer.output
        if item.type in ("custom_tool_call", "image_generation_call")
    ]
    thoughts = [item for item in answer.output if item.type == "reasoning"]
    usage = answer.usage
    text = "".join(part.text for part in texts)
    found = {
        "status": "succeeded",
        "text": text,
        "calls": [[call.name, loaded(call.arguments)] for call in calls],
        "refusal": "".join(refusals),
        "thinking": "".join(p.text for item in thoughts for p in item.summary),
        "citations": sum(len(part.annotations) for part in texts),
        "input": usage and number(usage.input_tokens),
        "output": usage and number(usage.output_tokens),
        "is_usable": bool(text or calls or made)
        and not refusals
        and answer.status == "completed",
    }
    reasons = {"max_output_tokens": "length"}
    details = answer.incomplete_details
    if details and details.reason:
        found["finish"] = reasons.get(details.reason, details.reason)
    elif answer.status == "completed":
        found["finish"] = "tool_use" if calls else "stop"
        if refusals:
            found["finish"] = "refusal"
    return found


def typed(route):
    """Returns the number of answers that match the SDK's own strict types."""
    kind = {"responses": Response, "chat": ChatCompletion}[route]
    return sum(fits(kind, shape) for shape in SHAPES[route].values())


def fits(kind, shape):
    try:
        kind.model_validate(shape)
    except (ValidationError, ValueError):
        return False
    return True
