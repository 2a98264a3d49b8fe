"""The SDKs' own types of what is sent, strict: a field that they do not know is a mismatch."""

import json
import typing
import warnings

import pydantic

# A TypedDict's `Iterable` would be checked only when somebody walks it, by when the branch of its union
# has been chosen. These types are built with lists in its place; nothing else is imported meanwhile.
STRICT = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True, strict=True)


def adapter(load):
    """The validator of a TypedDict, whose module is imported with lists for iterables."""
    iterable, typing.Iterable = typing.Iterable, typing.List
    try:
        # The TypedDicts within take it over.
        kind = load()
        kind.__pydantic_config__ = STRICT
        return pydantic.TypeAdapter(kind)
    finally:
        typing.Iterable = iterable


class OpenAI:
    def __init__(self):
        def responses():
            from openai.types.responses import response_create_params as params

            return params.ResponseCreateParamsNonStreaming

        def chat():
            from openai.types.chat import completion_create_params as params

            return params.CompletionCreateParamsNonStreaming

        def batch():
            from openai.types import batch_create_params as params

            return params.BatchCreateParams

        self._batch = adapter(batch)
        self._bodies = {
            "/v1/responses": adapter(responses),
            "/v1/chat/completions": adapter(chat),
        }

    def requests(self, calls):
        """Every request that was sent, with its id; creates are checked on the way."""
        for call in calls:
            if call.method == "POST" and call.path == "/v1/batches":
                self._batch.validate_json(call.body)
            if call.method != "POST" or call.path != "/v1/files":
                continue
            parts = call.parts()
            assert parts["purpose"] == b"batch", parts["purpose"]
            for line in parts["file"].splitlines():
                line = json.loads(line)
                assert set(line) == {"custom_id", "method", "url", "body"}, line
                yield line["custom_id"], line

    def validate(self, line):
        self._bodies[line["url"]].validate_json(json.dumps(line["body"]))


class Anthropic:
    def __init__(self):
        def batch():
            from anthropic.types.messages import batch_create_params as params

            return params.Request

        self._request = adapter(batch)

    def requests(self, calls):
        for call in calls:
            if call.method == "POST" and call.path == "/v1/messages/batches":
                body = json.loads(call.body)
                assert set(body) == {"requests"}, set(body)
                for request in body["requests"]:
                    # Which parameters there are depends on it.
                    request["version"] = call.headers["anthropic-version"]
                    yield request["custom_id"], request

    def validate(self, request):
        self._request.validate_json(json.dumps(request))


class Google:
    def __init__(self):
        from google.genai import types

        # google-genai has no model of a whole `GenerateContentRequest`, but of each of its fields.
        self._fields = {
            name: pydantic.TypeAdapter(kind)
            for name, kind in {
                "contents": list[types.Content],
                "systemInstruction": types.Content,
                "tools": list[types.Tool],
                "toolConfig": types.ToolConfig,
                "safetySettings": list[types.SafetySetting],
                "generationConfig": types.GenerationConfig,
                "cachedContent": str,
            }.items()
        }

    def requests(self, calls):
        sessions = {}
        for call in calls:
            if "/upload/session/" in call.path:
                sessions.setdefault(call.path, []).append(call.body)
            if not call.path.endswith(":batchGenerateContent"):
                continue
            batch = json.loads(call.body)["batch"]
            assert set(batch) <= {"displayName", "model", "inputConfig"}, set(batch)
            inline = batch["inputConfig"].get("requests", {}).get("requests", [])
            for request in inline:
                assert set(request) == {"request", "metadata"}, set(request)
                yield request["metadata"]["key"], {"body": request["request"], "camel": True}
        for pieces in sessions.values():
            for line in b"".join(pieces).splitlines():
                line = json.loads(line)
                assert set(line) == {"key", "request"}, set(line)
                yield line["key"], {"body": line["request"], "camel": False}

    def validate(self, request):
        camel = request["camel"]
        for name, value in request["body"].items():
            known = {name if camel else snake(name): name for name in self._fields}
            assert name in known, f"{name}: there is no such field"
            # Each route has its own spelling, of the fields within too.
            with warnings.catch_warnings():
                # A word that its enumeration does not know is only warned of.
                warnings.simplefilter("error")
                self._fields[known[name]].validate_json(
                    json.dumps(value), by_alias=camel, by_name=not camel
                )


def snake(name):
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


ALL = {"openai": OpenAI, "anthropic": Anthropic, "google": Google}
