"""Anthropic's Python SDK drives the emulator: message batches, results and errors."""

import json

import anthropic
from anthropic.types.messages import DeletedMessageBatch, MessageBatch

from checks import BAD_KEY, KEY, URL, Checks, advance, equal, fault, raises

# "100,000 requests or 256 MB, whichever comes first" (batch guide, 2026-08).
TOO_LARGE = 256 << 20

check = Checks(f"python anthropic {anthropic.__version__}")
# Errors are checked, not retried.
client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
batches = client.messages.batches


def request(custom_id, text, **more):
    messages = [{"role": "user", "content": text}]
    params = {"model": "claude-haiku-4-5", "max_tokens": 99, "messages": messages}
    return {"custom_id": custom_id, "params": params | more}


def results(batch_id):
    return {row.custom_id: row.result for row in batches.results(batch_id)}


@check("a batch is created, retrieved, and its results streamed")
def _():
    tool = {"name": "now", "input_schema": {"type": "object", "properties": {}}}
    made = batches.create(
        requests=[
            request("a", "hello"),
            request("b", "lmb:error-400"),
            request("c", "lmb:think lmb:tool", tools=[tool]),
        ]
    )
    assert isinstance(made, MessageBatch)
    equal(made.processing_status, "in_progress")
    equal((made.request_counts.processing, made.results_url), (3, None))
    advance()
    done = batches.retrieve(made.id)
    equal(done.processing_status, "ended")
    counts = done.request_counts
    equal((counts.processing, counts.succeeded, counts.errored), (0, 2, 1))
    assert done.ended_at > done.created_at
    found = results(made.id)
    message = found["a"].message
    equal((message.content[0].text, message.stop_reason), ("echo: hello", "end_turn"))
    equal(message.usage.service_tier, "batch")
    equal(found["b"].error.error.type, "invalid_request_error")
    kinds = [block.type for block in found["c"].message.content]
    equal(kinds, ["thinking", "tool_use"])


@check("results of a batch that goes on are refused by the SDK")
def _():
    made = batches.create(requests=[request("a", "hello")])
    raises(anthropic.AnthropicError, lambda: batches.results(made.id))


@check("batches are listed page by page, newest first, both ways")
def _():
    made = [batches.create(requests=[request("a", str(n))]).id for n in range(5)]
    found = [batch.id for batch in batches.list(limit=2)]
    equal(found[:5], made[::-1])
    assert len(found) == len(set(found))
    page = batches.list(limit=2, before_id=made[0])
    equal([batch.id for batch in page.data], [made[2], made[1]])
    equal([batch.id for batch in page.get_next_page().data], [made[4], made[3]])


@check("a batch is cancelled; half of it is answered")
def _():
    made = batches.create(requests=[request(str(n), "hi") for n in range(4)])
    stopped = batches.cancel(made.id)
    equal(stopped.processing_status, "canceling")
    assert stopped.cancel_initiated_at
    advance()
    counts = batches.retrieve(made.id).request_counts
    equal((counts.succeeded, counts.canceled), (2, 2))
    kinds = sorted(result.type for result in results(made.id).values())
    equal(kinds, ["canceled", "canceled", "succeeded", "succeeded"])


@check("a request expires, and its batch ends")
def _():
    made = batches.create(requests=[request("a", "hi"), request("b", "lmb:expire")])
    advance()
    equal(batches.retrieve(made.id).request_counts.expired, 1)
    equal(results(made.id)["b"].type, "expired")


@check("a batch is deleted once it has ended")
def _():
    made = batches.create(requests=[request("a", "hi")])
    raises(anthropic.BadRequestError, lambda: batches.delete(made.id), status_code=400)
    advance()
    assert isinstance(batches.delete(made.id), DeletedMessageBatch)
    raises(anthropic.NotFoundError, lambda: batches.retrieve(made.id), status_code=404)


@check("400: ids that are doubled, odd or missing, and no requests")
def _():
    for requests in (
        [request("a", "hi"), request("a", "hi")],
        [request("a/b", "hi")],
        [],
    ):
        error = raises(
            anthropic.BadRequestError,
            lambda: batches.create(requests=requests),
            status_code=400,
            type="invalid_request_error",
        )
        assert error.request_id


@check("401: a key that is refused")
def _():
    stranger = client.with_options(api_key=BAD_KEY)
    raises(
        anthropic.AuthenticationError,
        lambda: stranger.messages.batches.retrieve("msgbatch_x"),
        status_code=401,
        type="authentication_error",
    )


@check("404: a batch that is not there")
def _():
    for call in (batches.retrieve, batches.cancel, batches.results, batches.delete):
        raises(
            anthropic.NotFoundError,
            lambda: call("msgbatch_x"),
            status_code=404,
            type="not_found_error",
        )


@check("413: a create over 256 MB")
def _():
    half = "x" * (TOO_LARGE // 2)
    raises(
        anthropic.RequestTooLargeError,
        lambda: batches.create(requests=[request("a", half), request("b", half)]),
        status_code=413,
    )


@check("429: a create that is too much; the SDK tries again by itself")
def _():
    error = {"type": "rate_limit_error", "message": "slow down"}
    body = json.dumps({"type": "error", "error": error, "request_id": "r"})

    def make(retries):
        fault("create", 429, body, [("retry-after", "0")])
        patient = client.with_options(max_retries=retries)
        return patient.messages.batches.create(requests=[request("a", "hi")])

    raises(
        anthropic.RateLimitError,
        lambda: make(0),
        status_code=429,
        type="rate_limit_error",
    )
    assert make(1).id


check.done()
