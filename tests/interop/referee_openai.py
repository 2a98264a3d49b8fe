"""OpenAI's Python SDK drives the emulator: files, batches, results and errors."""

import io
import json

import openai
from openai.types import Batch, FileDeleted, FileObject
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from checks import BAD_KEY, KEY, URL, Checks, advance, equal, fault, raises

# "up to 200 MB in size" (batch guide, 2026); the emulator counts 200 MiB.
TOO_LARGE = (200 << 20) + 1
ENDPOINT = "/v1/responses"

check = Checks(f"python openai {openai.__version__}")
# Errors are checked, not retried.
client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)


def line(custom_id, text, endpoint=ENDPOINT):
    asked = "input" if endpoint == ENDPOINT else "messages"
    words = text if endpoint == ENDPOINT else [{"role": "user", "content": text}]
    body = {"model": "gpt-5-mini", asked: words}
    return {"custom_id": custom_id, "method": "POST", "url": endpoint, "body": body}


def upload(lines, name="requests.jsonl"):
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return client.files.create(file=(name, io.BytesIO(data)), purpose="batch")


def create(lines, endpoint=ENDPOINT, **more):
    return client.batches.create(
        input_file_id=upload(lines).id,
        endpoint=endpoint,
        completion_window="24h",
        **more,
    )


def rows(file_id):
    text = client.files.content(file_id).text
    return {row["custom_id"]: row for row in map(json.loads, text.splitlines())}


@check("a file is uploaded, retrieved and read back")
def _():
    sent = upload([line("a", "hi")])
    assert isinstance(sent, FileObject)
    equal((sent.object, sent.purpose, sent.status), ("file", "batch", "processed"))
    equal(client.files.retrieve(sent.id), sent)
    equal(json.loads(client.files.content(sent.id).text), line("a", "hi"))


@check("files are listed page by page, and deleted")
def _():
    sent = {upload([line("a", str(n))]).id for n in range(5)}
    pages = client.files.list(purpose="batch", limit=2)
    assert pages.has_next_page()
    found = [file.id for file in pages]
    assert sent <= set(found) and len(found) == len(set(found))
    for file_id in sent:
        gone = client.files.delete(file_id)
        assert isinstance(gone, FileDeleted) and gone.deleted
    raises(
        openai.NotFoundError,
        lambda: client.files.retrieve(sent.pop()),
        status_code=404,
    )


@check("a batch is created, retrieved, and its results read")
def _():
    made = create(
        [line("a", "hello"), line("b", "lmb:error-400")], metadata={"run": "x"}
    )
    assert isinstance(made, Batch)
    equal((made.status, made.endpoint), ("validating", ENDPOINT))
    equal(made.metadata, {"run": "x"})
    advance()
    done = client.batches.retrieve(made.id)
    equal(done.status, "completed")
    counts = done.request_counts
    equal((counts.total, counts.completed, counts.failed), (2, 1, 1))
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens
    answer = rows(done.output_file_id)["a"]
    equal(answer["response"]["status_code"], 200)
    response = Response.model_validate(answer["response"]["body"])
    equal((response.output_text, response.status), ("echo: hello", "completed"))
    refused = rows(done.error_file_id)["b"]
    equal(refused["response"]["status_code"], 400)


@check("chat completions are answered in their own shape")
def _():
    endpoint = "/v1/chat/completions"
    made = create([line("a", "hello", endpoint)], endpoint)
    advance()
    answer = rows(client.batches.retrieve(made.id).output_file_id)["a"]
    chat = ChatCompletion.model_validate(answer["response"]["body"])
    equal(chat.choices[0].message.content, "echo: hello")
    equal(chat.choices[0].finish_reason, "stop")


@check("batches are listed page by page, newest first")
def _():
    made = [create([line("a", str(n))]).id for n in range(5)]
    found = [batch.id for batch in client.batches.list(limit=2)]
    equal(found[:5], made[::-1])
    assert len(found) == len(set(found))
    after = client.batches.list(limit=1, after=made[4])
    equal([batch.id for batch in after.data], [made[3]])


@check("a batch is cancelled; half of it is answered")
def _():
    made = create([line(str(n), "hi") for n in range(4)])
    stopped = client.batches.cancel(made.id)
    equal(stopped.status, "cancelling")
    assert stopped.cancelling_at
    advance()
    done = client.batches.retrieve(made.id)
    equal(done.status, "cancelled")
    equal(len(rows(done.output_file_id)), 2)
    codes = {row["error"]["code"] for row in rows(done.error_file_id).values()}
    equal(codes, {"batch_cancelled"})


@check("409: the cancel of a batch that is completed")
def _():
    made = create([line("a", "hi")])
    advance()
    raises(
        openai.ConflictError, lambda: client.batches.cancel(made.id), status_code=409
    )


@check("a batch expires with some of its requests")
def _():
    made = create([line("a", "hi"), line("b", "lmb:expire")])
    advance()
    done = client.batches.retrieve(made.id)
    equal(done.status, "expired")
    equal(rows(done.error_file_id)["b"]["error"]["code"], "batch_expired")


@check("a bad line fails the batch after it was accepted")
def _():
    made = create([line("a", "hi"), line("a", "again")])
    advance()
    done = client.batches.retrieve(made.id)
    equal(done.status, "failed")
    error = done.errors.data[0]
    equal((error.code, error.line), ("duplicate_custom_id", 2))


@check("400: a create without its endpoint, and a file that is no JSON Lines")
def _():
    def make(endpoint):
        return client.batches.create(
            input_file_id="file-x", endpoint=endpoint, completion_window="24h"
        )

    raises(
        openai.BadRequestError,
        lambda: make("/v1/nowhere"),
        status_code=400,
        param="endpoint",
    )
    raises(openai.BadRequestError, lambda: upload([], name="a.txt"), status_code=400)


@check("401: a key that is refused")
def _():
    stranger = client.with_options(api_key=BAD_KEY)
    raises(
        openai.AuthenticationError,
        lambda: stranger.batches.retrieve("batch_x"),
        status_code=401,
        code="invalid_api_key",
    )


@check("404: a batch, a file and a model that are not there")
def _():
    for call in (
        lambda: client.batches.retrieve("batch_x"),
        lambda: client.batches.cancel("batch_x"),
        lambda: client.files.content("file-x"),
        lambda: client.models.retrieve("no-such-model"),
    ):
        raises(openai.NotFoundError, call, status_code=404)


@check("413: a file over 200 MB")
def _():
    # A status without an exception class in the SDK.
    big = ("big.jsonl", io.BytesIO(bytes(TOO_LARGE)))
    raises(
        openai.APIStatusError,
        lambda: client.files.create(file=big, purpose="batch"),
        status_code=413,
    )


@check("429: a create that is too much; the SDK tries again by itself")
def _():
    error = {
        "message": "slow down",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    body = json.dumps({"error": error})
    file_id = upload([line("a", "hi")]).id

    def make(retries):
        fault("create", 429, body, [("retry-after", "0")])
        return client.with_options(max_retries=retries).batches.create(
            input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h"
        )

    raises(
        openai.RateLimitError,
        lambda: make(0),
        status_code=429,
        code="rate_limit_exceeded",
    )
    assert make(1).id


check.done()
