"""Creates batches with Anthropic's SDK and reads their outcomes."""

import anthropic

from batches import PARAMETERS
from checks import KEY, URL

NAME, MODEL = "anthropic", "claude-haiku-4-5"
SDK = f"anthropic {anthropic.__version__}"
ROUTES = ("inline",)
MOST_TOKENS = 999

# Error for a cancel of a batch that has ended.
HAS_ENDED = anthropic.BadRequestError

client = anthropic.Anthropic(base_url=URL, api_key=KEY)
batches = client.messages.batches


def request(asked):
    messages = [{"role": "user", "content": asked.text}]
    params = {"model": MODEL, "max_tokens": MOST_TOKENS, "messages": messages}
    if asked.tool:
        params["tools"] = [{"name": "weather", "input_schema": PARAMETERS}]
    if asked.schema:
        wanted = {"type": "json_schema", "schema": PARAMETERS}
        params["output_config"] = {"format": wanted}
    return {"custom_id": asked.key, "params": params}


def create(batch):
    return batches.create(requests=[request(asked) for asked in batch.asked]).id


def cancel(batch_id):
    batches.cancel(batch_id)


def status(batch_id):
    batch = batches.retrieve(batch_id)
    counts = batch.request_counts
    assert batch.processing_status == "ended" and not counts.processing
    # Anthropic reports only that a batch has ended; the outcomes of its requests give the status.
    word = "completed"
    if counts.canceled:
        word = "cancelled"
    if counts.expired:
        word = "expired"
    found = {"succeeded": counts.succeeded, "errored": counts.errored}
    found |= {"expired": counts.expired, "cancelled": counts.canceled}
    return word, {**found, "total": sum(found.values())}


def outcomes(batch_id, _route):
    for row in batches.results(batch_id):
        yield row.custom_id, outcome(row.result)


def outcome(result):
    if result.type == "errored":
        return {"status": "errored", "code": result.error.error.type}
    if result.type != "succeeded":
        return {"status": {"canceled": "cancelled"}.get(result.type, result.type)}
    message = result.message
    texts = [block.text for block in message.content if block.type == "text"]
    calls = [block for block in message.content if block.type == "tool_use"]
    reasons = {"max_tokens": "truncated", "refusal": "refused"}
    problem = reasons.get(message.stop_reason)
    said = [block for block in message.content if block.type != "thinking"]
    details = message.usage.output_tokens_details
    return {
        "status": "succeeded",
        "problem": problem or (None if said else "empty"),
        "text": "".join(texts),
        "calls": [[call.name, call.input] for call in calls],
        "input": message.usage.input_tokens
        + message.usage.cache_creation_input_tokens
        + message.usage.cache_read_input_tokens,
        "output": message.usage.output_tokens,
        "thinking": details.thinking_tokens,
        "model": message.model,
        "response": message.id,
    }
