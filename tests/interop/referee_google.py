"""Google's Python SDK drives the emulator: files, batches by file and inline, results and errors."""

import io
import json

from google import genai
from google.genai import errors, types

from checks import BAD_KEY, KEY, URL, Checks, advance, equal, fault, raises

MODEL = "gemini-2.5-flash"
# "under 20 MB" for a create with its requests (batch guide, 2026-02-19).
TOO_LARGE = 20 << 20

check = Checks(f"python google-genai {genai.__version__}")


def connect(key=KEY):
    options = types.HttpOptions(base_url=URL)
    return genai.Client(api_key=key, http_options=options)


client = connect()


def content(text):
    return {"role": "user", "parts": [{"text": text}]}


def upload(lines, name="requests"):
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    config = types.UploadFileConfig(display_name=name, mime_type="application/jsonl")
    return client.files.upload(file=io.BytesIO(data), config=config)


def create_by_file(texts, name="by file"):
    lines = [
        {"key": key, "request": {"contents": [content(text)]}}
        for key, text in texts.items()
    ]
    return client.batches.create(
        model=MODEL, src=upload(lines).name, config={"display_name": name}
    )


def create_inline(texts, name="inline"):
    requests = [
        types.InlinedRequest(contents=[content(text)], metadata={"key": key})
        for key, text in texts.items()
    ]
    return client.batches.create(
        model=MODEL, src=requests, config={"display_name": name}
    )


def rows(job):
    text = client.files.download(file=job.dest.file_name).decode()
    return {row["key"]: row for row in map(json.loads, text.splitlines())}


def answer(row):
    # The SDK reads the response in this way: its model lacks `serviceTier`.
    return types.GenerateContentResponse._from_response(
        response=row["response"], kwargs={}
    )


@check("a file is uploaded in a resumable way, retrieved, listed and deleted")
def _():
    sent = [upload([{"key": "a"}], name=f"file {n}") for n in range(5)]
    equal((sent[0].display_name, sent[0].state), ("file 0", types.FileState.ACTIVE))
    equal(client.files.get(name=sent[0].name).name, sent[0].name)
    found = [file.name for file in client.files.list(config={"page_size": 2})]
    assert {file.name for file in sent} <= set(found)
    for file in sent:
        client.files.delete(name=file.name)
    raises(errors.ClientError, lambda: client.files.get(name=sent[0].name), code=403)


@check("a batch by file is created, retrieved, and its results downloaded")
def _():
    made = create_by_file({"a": "hello", "b": "lmb:error-400", "c": "lmb:think"})
    equal(
        (made.state, made.display_name), (types.JobState.JOB_STATE_PENDING, "by file")
    )
    equal(made.model, f"models/{MODEL}")
    advance()
    done = client.batches.get(name=made.name)
    equal(done.state, types.JobState.JOB_STATE_SUCCEEDED)
    assert done.done and done.end_time > done.create_time
    found = rows(done)
    response = answer(found["a"])
    equal(response.text, "echo: hello")
    equal(response.candidates[0].finish_reason, types.FinishReason.STOP)
    equal(found["b"]["error"]["code"], 3)
    equal(answer(found["c"]).usage_metadata.thoughts_token_count, 7)


@check("a batch with its requests inside is created, and its results come inside")
def _():
    made = create_inline({"a": "hello", "b": "lmb:error-429"})
    advance()
    done = client.batches.get(name=made.name)
    equal(done.state, types.JobState.JOB_STATE_SUCCEEDED)
    found = {row.metadata["key"]: row for row in done.dest.inlined_responses}
    equal(found["a"].response.text, "echo: hello")
    equal(found["b"].error.code, 8)


@check("batches are listed page by page, newest first")
def _():
    made = [create_inline({"a": "hi"}, name=str(n)).name for n in range(5)]
    jobs = client.batches.list(config={"page_size": 2})
    found = [job.name for job in jobs]
    equal(found[:5], made[::-1])
    assert len(found) == len(set(found))


@check("a batch is cancelled; half of it is answered")
def _():
    made = create_by_file({str(n): "hi" for n in range(4)})
    client.batches.cancel(name=made.name)
    advance()
    done = client.batches.get(name=made.name)
    equal(done.state, types.JobState.JOB_STATE_CANCELLED)
    kinds = ["error" in row for row in rows(done).values()]
    equal(sorted(kinds), [False, False, True, True])


@check("a batch expires and keeps nothing")
def _():
    made = create_by_file({"a": "hi", "b": "lmb:expire"})
    advance()
    done = client.batches.get(name=made.name)
    equal(done.state, types.JobState.JOB_STATE_EXPIRED)
    assert not (done.dest and done.dest.file_name)


@check("a batch is deleted")
def _():
    made = create_inline({"a": "hi"})
    advance()
    client.batches.delete(name=made.name)
    raises(errors.ClientError, lambda: client.batches.get(name=made.name), code=404)


@check("400: a field that is unknown, and a key that is refused, which is no 401 here")
def _():
    source = upload([{"key": "a", "request": {"contents": [content("x")], "odd": 1}}])
    raises(
        errors.ClientError,
        lambda: client.batches.create(model=MODEL, src=source.name),
        code=400,
        status="INVALID_ARGUMENT",
    )
    stranger = connect(BAD_KEY)
    raises(
        errors.ClientError,
        lambda: stranger.batches.get(name="batches/x"),
        code=400,
        status="INVALID_ARGUMENT",
    )


@check("401: a token that is refused")
def _():
    body = {"error": {"code": 401, "message": "no", "status": "UNAUTHENTICATED"}}
    fault("status", 401, json.dumps(body))
    raises(
        errors.ClientError,
        lambda: client.batches.get(name="batches/x"),
        code=401,
        status="UNAUTHENTICATED",
    )


@check("404: a batch and a model that are not there; 403: a file")
def _():
    for call in (client.batches.get, client.batches.cancel, client.batches.delete):
        raises(
            errors.ClientError,
            lambda: call(name="batches/x"),
            code=404,
            status="NOT_FOUND",
        )
    source = upload([{"key": "a", "request": {"contents": [content("x")]}}]).name
    raises(
        errors.ClientError,
        lambda: client.batches.create(model="no-such-model", src=source),
        code=404,
    )
    raises(errors.ClientError, lambda: client.files.download(file="files/x"), code=403)


@check("413: an inline create over 20 MB is a 400 here; a proxy's page is a 413")
def _():
    raises(
        errors.ClientError,
        lambda: create_inline({"a": "x" * TOO_LARGE}),
        code=400,
        status="INVALID_ARGUMENT",
    )
    fault("create", 413, "<html><title>413</title></html>")
    raises(errors.ClientError, lambda: create_inline({"a": "hi"}), code=413)


@check("429: a create that is too much")
def _():
    body = {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}
    fault("create", 429, json.dumps(body))
    raises(
        errors.ClientError,
        lambda: create_inline({"a": "hi"}),
        code=429,
        status="RESOURCE_EXHAUSTED",
    )


check.done()
