"""Creates batches with OpenAI's SDK and reads their outcomes."""

import io
import json

import openai
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from batches import PARAMETERS
from checks import KEY, URL

NAME, MODEL = "openai", "gpt-5-mini"
SDK = f"openai {openai.__version__}"
ROUTES = ("responses", "chat")
ENDPOINTS = {"responses": "/v1/responses", "chat": "/v1/chat/completions"}

# Error for a cancel of a batch that has ended.
HAS_ENDED = openai.ConflictError

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY)


def line(asked, route):
    body = {"model": MODEL}
    tool = {"name": "weather", "parameters": PARAMETERS}
    schema = {"name": "weather", "schema": PARAMETERS, "strict": True}
    if route == "responses":
        body["input"] = asked.text
        if asked.tool:
            body["tools"] = [{"type": "function", **tool}]
        if asked.schema:
            body["text"] = {"format": {"type": "json_schema", **schema}}
    else:
        body["messages"] = [{"role": "user", "content": asked.text}]
        if asked.tool:
            body["tools"] = [{"type": "function", "function": tool}]
        if asked.schema:
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return {
        "custom_id": asked.key,
        "method": "POST",
        "url": ENDPOINTS[route],
        "body": body,
    }


def create(batch):
    lines = (json.dumps(line(asked, batch.route)) + "\n" for asked in batch.asked)
    data = io.BytesIO("".join(lines).encode())
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id,
        endpoint=ENDPOINTS[batch.route],
        completion_window="24h",
    )
    return made.id


def cancel(batch_id):
    client.batches.cancel(batch_id)


def status(batch_id):
    batch = client.batches.retrieve(batch_id)
    counts = batch.request_counts
    found = {"total": counts.total, "succeeded": counts.completed}
    return batch.status, {**found, "errored": counts.failed}


def outcomes(batch_id, route):
    batch = client.batches.retrieve(batch_id)
    for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
        for row in client.files.content(file_id).text.splitlines():
            row = json.loads(row)
            yield row["custom_id"], outcome(row, route)


def outcome(row, route):
    if error := row["error"]:
        kinds = {"batch_expired": "expired", "batch_cancelled": "cancelled"}
        return {"status": kinds.get(error["code"], "errored")}
    body = row["response"]["body"]
    if row["response"]["status_code"] != 200:
        return {"status": "errored", "code": body["error"]["code"]}
    return response(body) if route == "responses" else chat(body)


def response(body):
    # The SDK reads answers in this way: it keeps unknown members without an error.
    answer = Response.construct(**body)
    if answer.status == "failed":
        return {"status": "errored", "code": answer.error.code}
    parts = [
        part
        for item in answer.output
        if item.type == "message"
        for part in item.content
    ]
    calls = [item for item in answer.output if item.type == "function_call"]
    reasons = {"max_output_tokens": "truncated", "content_filter": "content_filter"}
    reason = answer.incomplete_details and answer.incomplete_details.reason
    problem = reasons.get(reason)
    if not problem and any(part.type == "refusal" for part in parts):
        problem = "refused"
    return {
        "status": "succeeded",
        "problem": problem or (None if answer.output else "empty"),
        "text": answer.output_text,
        "calls": [[call.name, json.loads(call.arguments)] for call in calls],
        "input": answer.usage.input_tokens,
        "output": answer.usage.output_tokens,
        "thinking": answer.usage.output_tokens_details.reasoning_tokens,
        "model": answer.model,
        "response": answer.id,
    }


def chat(body):
    answer = ChatCompletion.model_validate(body)
    choice = answer.choices[0]
    calls = [call.function for call in choice.message.tool_calls or []]
    reasons = {"length": "truncated", "content_filter": "content_filter"}
    problem = reasons.get(choice.finish_reason)
    if not problem and choice.message.refusal:
        problem = "refused"
    said = choice.message.content or choice.message.refusal or calls
    return {
        "status": "succeeded",
        "problem": problem or (None if said else "empty"),
        "text": choice.message.content or "",
        "calls": [[call.name, json.loads(call.arguments)] for call in calls],
        "input": answer.usage.prompt_tokens,
        "output": answer.usage.completion_tokens,
        "thinking": answer.usage.completion_tokens_details.reasoning_tokens,
        "model": answer.model,
        "response": answer.id,
    }
