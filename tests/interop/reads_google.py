"""Creates batches with Google's SDK and reads their outcomes."""

import io
import json

from google import genai
from google.genai import errors, types

from batches import PARAMETERS
from checks import KEY, URL

NAME, MODEL = "google", "gemini-2.5-flash"
SDK = f"google-genai {genai.__version__}"
ROUTES = ("file", "inline")

# google.rpc.Code
CANCELLED, DEADLINE_EXCEEDED = 1, 4

STATES = {
    types.JobState.JOB_STATE_SUCCEEDED: "completed",
    types.JobState.JOB_STATE_CANCELLED: "cancelled",
    types.JobState.JOB_STATE_EXPIRED: "expired",
}
REASONS = {
    types.FinishReason.MAX_TOKENS: "truncated",
    types.FinishReason.SAFETY: "content_filter",
}

# Error for a cancel of a batch that has ended.
HAS_ENDED = errors.ClientError

client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=URL))


def by_file(asked):
    request = {"contents": [{"role": "user", "parts": [{"text": asked.text}]}]}
    if asked.tool:
        tool = {"name": "weather", "parameters_json_schema": PARAMETERS}
        request["tools"] = [{"function_declarations": [tool]}]
    if asked.schema:
        wanted = {"response_mime_type": "application/json"}
        wanted["response_json_schema"] = PARAMETERS
        request["generation_config"] = wanted
    return {"key": asked.key, "request": request}


def inline(asked):
    config = {}
    if asked.tool:
        tool = {"name": "weather", "parameters_json_schema": PARAMETERS}
        config["tools"] = [{"function_declarations": [tool]}]
    if asked.schema:
        config["response_mime_type"] = "application/json"
        config["response_json_schema"] = PARAMETERS
    return types.InlinedRequest(
        contents=[types.Content(role="user", parts=[types.Part(text=asked.text)])],
        metadata={"key": asked.key},
        config=config or None,
    )


def create(batch):
    if batch.route == "inline":
        source = [inline(asked) for asked in batch.asked]
    else:
        lines = (json.dumps(by_file(asked)) + "\n" for asked in batch.asked)
        data = io.BytesIO("".join(lines).encode())
        config = {"mime_type": "application/jsonl"}
        source = client.files.upload(file=data, config=config).name
    return client.batches.create(model=MODEL, src=source).name


def cancel(batch_id):
    client.batches.cancel(name=batch_id)


def status(batch_id):
    # The SDK drops the counts that the Developer API sends.
    return STATES[client.batches.get(name=batch_id).state], {}


def outcomes(batch_id, route):
    job = client.batches.get(name=batch_id)
    if not job.dest:
        return
    if route == "inline":
        for row in job.dest.inlined_responses:
            error = row.error and {"code": row.error.code}
            yield row.metadata["key"], outcome(row.response, error)
        return
    for row in client.files.download(file=job.dest.file_name).decode().splitlines():
        row = json.loads(row)
        answer = row.get("response")
        if answer:
            # The SDK reads answers in this way: it omits unknown members.
            answer = types.GenerateContentResponse._from_response(
                response=answer, kwargs={}
            )
        yield row["key"], outcome(answer, row.get("error"))


def outcome(answer, error):
    if error:
        code = error["code"]
        if code == CANCELLED:
            return {"status": "cancelled"}
        return {"status": "errored", "code": str(code)}
    usage = answer.usage_metadata
    candidate = (answer.candidates or [None])[0]
    parts = (candidate and candidate.content.parts) or []
    problem = candidate and REASONS.get(candidate.finish_reason)
    if answer.prompt_feedback and answer.prompt_feedback.block_reason:
        problem = "content_filter"
    calls = [part.function_call for part in parts if part.function_call]
    said = [part for part in parts if not part.thought]
    thinking = usage.thoughts_token_count or 0
    return {
        "status": "succeeded",
        "problem": problem or (None if said else "empty"),
        "text": "".join(part.text for part in said if part.text),
        "calls": [[call.name, call.args] for call in calls],
        "input": usage.prompt_token_count,
        "output": (usage.candidates_token_count or 0) + thinking,
        "thinking": thinking,
        "model": answer.model_version,
        "response": answer.response_id,
    }
