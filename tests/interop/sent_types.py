"""The SDKs' own request types in strict mode: an unknown field is a mismatch."""

import importlib
import json
import sys
import typing
import warnings

import pydantic

STRICT = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True)


def adapter(package, load):
    """Returns the validator of a TypedDict of a package that must not have been imported before."""
    # An `Iterable` would be checked only during iteration, after the branch of its union has been
    # chosen. These types are therefore built with lists in its place.
    iterable, typing.Iterable = typing.Iterable, typing.List
    try:
        kind = load()
        # Nested TypedDicts inherit the configuration, except those with one of their own.
        kind.__pydantic_config__ = STRICT
        for own in list(classes(package)):
            own.__pydantic_config__ = STRICT
        # Some unions also include response classes, which accept any member. They are built on first use.
        close(importlib.import_module(f"{package}._models").BaseModel)
        return pydantic.TypeAdapter(kind)
    finally:
        typing.Iterable = iterable


def classes(package):
    """Classes of a package with a configuration of their own."""
    modules = [m for n, m in sys.modules.items() if n.startswith(f"{package}.types")]
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, type) and "__pydantic_config__" in vars(value):
                yield value


def close(model):
    model.model_config["extra"] = "forbid"
    for heir in model.__subclasses__():
        close(heir)


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

        self._batch = adapter("openai", batch)
        self._bodies = {
            "/v1/responses": adapter("openai", responses),
            "/v1/chat/completions": adapter("openai", chat),
        }

    def requests(self, calls):
        """Returns every request that was sent, with its id, and checks creates."""
        for call in calls:
            if call.method == "POST" and call.path == "/v1/batches":
                self._batch.validate_python(json.loads(call.body), strict=True)
            if call.method != "POST" or call.path != "/v1/files":
                continue
            parts = call.parts()
            assert parts["purpose"] == b"batch", parts["purpose"]
            for line in parts["file"].splitlines():
                line = json.loads(line)
                assert set(line) == {"custom_id", "method", "url", "body"}, line
                yield line["custom_id"], line

    # Positions where an unknown member must be detected; a list stands for its first element.
    PLACES = (
        ("body",),
        ("body", "input", []),
        ("body", "input", [], "content", []),
        ("body", "tools", []),
        ("body", "messages", []),
        ("body", "messages", [], "content", []),
        ("body", "tools", [], "function"),
        ("body", "reasoning"),
        ("body", "text", "format"),
        ("body", "response_format", "json_schema"),
    )

    def validate(self, line):
        self._bodies[line["url"]].validate_python(line["body"], strict=True)


class Anthropic:
    def __init__(self):
        def batch():
            from anthropic.types.messages import batch_create_params as params

            return params.Request

        self._request = adapter("anthropic", batch)

    def requests(self, calls):
        for call in calls:
            if call.method == "POST" and call.path == "/v1/messages/batches":
                body = json.loads(call.body)
                assert set(body) == {"requests"}, set(body)
                for request in body["requests"]:
                    # The valid parameters depend on it.
                    request["version"] = call.headers["anthropic-version"]
                    yield request["custom_id"], request

    PLACES = (
        (),
        ("params",),
        ("params", "messages", []),
        ("params", "messages", [], "content", []),
        ("params", "messages", [], "content", [], "source"),
        ("params", "tools", []),
        ("params", "tool_choice"),
        ("params", "thinking"),
        ("params", "output_config"),
        ("params", "output_config", "format"),
    )

    def validate(self, request):
        self._request.validate_python(request, strict=True)


class Google:
    def __init__(self):
        from google.genai import types

        # google-genai has no model of a whole `GenerateContentRequest`, but one of each of its fields.
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
                yield request["metadata"]["key"], {
                    "body": request["request"],
                    "camel": True,
                }
        for pieces in sessions.values():
            for line in b"".join(pieces).splitlines():
                line = json.loads(line)
                assert set(line) == {"key", "request"}, set(line)
                yield line["key"], {"body": line["request"], "camel": False}

    PLACES = (
        ("body",),
        ("body", "contents", []),
        ("body", "contents", [], "parts", []),
        ("body", "systemInstruction"),
        ("body", "tools", []),
        ("body", "tools", [], "functionDeclarations", []),
        ("body", "generationConfig"),
        ("body", "generationConfig", "thinkingConfig"),
        ("body", "generation_config"),
        ("body", "tool_config", "function_calling_config"),
    )

    def validate(self, request):
        camel = request["camel"]
        for name, value in request["body"].items():
            known = {name if camel else snake(name): name for name in self._fields}
            assert name in known, f"{name}: there is no such field"
            # Each route has its own spelling, also of nested fields.
            with warnings.catch_warnings():
                # A word that is not in its enumeration only causes a warning.
                warnings.simplefilter("error")
                self._fields[known[name]].validate_json(
                    json.dumps(value), by_alias=camel, by_name=not camel
                )


def snake(name):
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


ALL = {"openai": OpenAI, "anthropic": Anthropic, "google": Google}
