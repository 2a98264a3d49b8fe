"""Generated lines of lmbatch's own input, each of which a provider accepts."""

import base64
import json
from dataclasses import dataclass

PNG = b"\x89PNG\r\n\x1a\n"
PDF = b"%PDF-1.7 x"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"
MP3 = b"ID3\x04\x00\x00\x00\x00\x00\x00"
MP4 = b"ftyp"
CSV = "a,b\nnaïve,2\n".encode()

# Files next to the input, for parts by path.
FILES = {"cat.png": PNG, "paper.pdf": PDF, "table.csv": CSV, "call.wav": WAV}

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
TEXTS = (
    "hello",
    'a "quote", a \\ and a\ttab\n',
    "zwölf Boxkämpfer \u2028 \U0001f600",
    "漢字",
    "",
    "x" * 300,
)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
SCHEMAS = (
    {**CITY, "required": ["city"], "additionalProperties": False},
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "description": "The weather.",
        "properties": {
            "city": {"type": "string", "minLength": 1, "description": "Where."},
            "degrees": {"type": ["number", "null"], "minimum": -90},
            "winds": {"type": "array", "items": {"$ref": "#/$defs/w"}, "maxItems": 3},
            "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "when": {"type": "string", "format": "date-time"},
        },
        "required": ["city"],
        "$defs": {"w": {"type": "string", "enum": ["north", "south"]}},
    },
    {
        "type": "object",
        "properties": {"cities": {"type": "array", "items": CITY}},
        "required": ["cities"],
    },
)
TOOLS = (
    {"name": "weather", "description": "The weather in a city.", "parameters": CITY},
    {"name": "now", "parameters": {"type": "object", "properties": {}}},
    {"name": "find", "parameters": SCHEMAS[0], "strict": True},
    {"name": "loose", "parameters": SCHEMAS[1], "strict": False},
)


def encoded(data):
    return base64.b64encode(data).decode()


def by_base64(kind, mime_type, data, **more):
    return {"type": kind, "data": encoded(data), "mime_type": mime_type, **more}


IMAGES = {
    "base64": [
        by_base64("image", f"image/{kind}", PNG)
        for kind in ("png", "jpeg", "gif", "webp")
    ],
    "path": [{"type": "image", "path": "cat.png"}],
    "url": [
        {"type": "image", "url": "https://example.com/a.png"},
        {"type": "image", "url": "https://example.com/a", "mime_type": "image/png"},
        {"type": "image", "url": f"data:image/png;base64,{encoded(PNG)}"},
    ],
    "file": [{"type": "image", "file_id": "file-1", "mime_type": "image/png"}],
}
DOCUMENTS = {
    "base64": [
        by_base64("document", "application/pdf", PDF),
        by_base64("document", "application/pdf", PDF, filename="paper.pdf"),
        by_base64("document", "text/csv", CSV, filename="table.csv"),
        by_base64("document", "text/plain", CSV),
        {"type": "document", "url": f"data:application/pdf;base64,{encoded(PDF)}"},
    ],
    "path": [
        {"type": "document", "path": "paper.pdf"},
        {"type": "document", "path": "table.csv", "filename": "t.csv"},
    ],
    "url": [
        {
            "type": "document",
            "url": "https://example.com/a.pdf",
            "mime_type": "application/pdf",
        }
    ],
    "file": [{"type": "document", "file_id": "file-2", "mime_type": "application/pdf"}],
}
AUDIO = {
    "base64": [
        by_base64("audio", "audio/wav", WAV),
        by_base64("audio", "audio/mpeg", MP3),
    ],
    "path": [{"type": "audio", "path": "call.wav"}],
    "url": [
        {
            "type": "audio",
            "url": "https://example.com/a.mp3",
            "mime_type": "audio/mpeg",
        }
    ],
}
VIDEO = {
    "base64": [by_base64("video", "video/mp4", MP4)],
    "url": [
        {"type": "video", "url": "https://example.com/a.mp4", "mime_type": "video/mp4"}
    ],
    "file": [{"type": "video", "file_id": "file-3", "mime_type": "video/mp4"}],
}


def these(kinds, *sources):
    return [part for source in sources for part in kinds[source]]


@dataclass(frozen=True)
class Takes:
    """The features that a provider accepts for a model on a route."""

    provider: str
    model: str
    route: str
    attachments: list
    # Thoughts that can be sent back to the model.
    thoughts: list
    thinking: list
    # Names of hyperparameters, with values to choose from.
    parameters: dict
    # A last turn of the assistant, which the model continues.
    prefill: bool = False
    # Images and documents in tool results.
    given: tuple = ()
    # Bodies in OpenAI's format, translated or unchanged.
    bodies: tuple = ()


class Corpus:
    """Lines with the features that a provider accepts; equal random numbers give equal lines."""

    def __init__(self, chance, takes):
        self.chance, self.takes = chance, takes

    def lines(self, count):
        return [json.dumps(self.line(f"line {place}")) for place in range(count)]

    def often(self, share):
        return self.chance.random() < share

    def line(self, key):
        pick = self.chance.choice
        if self.takes.bodies and self.often(0.1):
            return {"custom_id": key, **pick(self.takes.bodies)(self)}
        line = {"id": key, **self.conversation()}
        if self.often(0.3):
            line["system"] = pick(TEXTS[:4])
        if self.often(0.3):
            line["metadata"] = {"row": self.chance.randrange(99)}
        if self.often(0.4) or "tool_call" in json.dumps(line):
            line["tools"] = self.chance.sample(TOOLS, self.chance.randint(1, 3))
            if self.often(0.6):
                named = {"tool": line["tools"][0]["name"]}
                line["tool_choice"] = pick(["auto", "none", "required", named])
        elif self.often(0.3):
            line["schema"] = pick(SCHEMAS)
        if self.takes.thinking and self.often(0.4):
            line["thinking"] = pick(self.takes.thinking)
        if self.often(0.5):
            line["hyperparameters"] = self.parameters(line)
        return line

    def parameters(self, line):
        names = list(self.takes.parameters)
        chosen = self.chance.sample(names, self.chance.randint(1, min(4, len(names))))
        found = {}
        for name in chosen:
            values = self.takes.parameters[name]
            # Some parameters apply only to a line whose model may choose a tool.
            if name.startswith("tool_choice.") and not choosing(line):
                continue
            found[name] = self.chance.choice(values)
        # Thoughts count towards the token limit, which must leave room for them.
        budget = line.get("thinking", {})
        if "max_tokens" in found and budget:
            found["max_tokens"] = 64000
        return found

    def conversation(self):
        kind = self.chance.random()
        if kind < 0.15:
            return {"prompt": self.chance.choice(TEXTS[:4])}
        if kind < 0.4:
            return {"contents": self.user()}
        turns = [self.turn("system", [self.text()])] if self.often(0.2) else []
        turns.append(self.turn("user", self.user()))
        for place in range(self.chance.randint(0, 2)):
            turns += self.exchange(place)
        if self.takes.prefill and self.often(0.1):
            turns.append(self.turn("assistant", ["Sure: "]))
        return {"messages": turns}

    def turn(self, role, contents):
        # Content may be a string, and the member may have either name.
        name = "content" if self.often(0.8) else "contents"
        if len(contents) == 1 and isinstance(contents[0], str) and self.often(0.5):
            return {"role": role, name: contents[0]}
        return {"role": role, name: contents}

    def text(self):
        text = self.chance.choice(TEXTS[:4])
        return text if self.often(0.5) else {"type": "text", "text": text}

    def user(self):
        parts = [self.text()]
        if self.often(0.5):
            parts += self.chance.choices(self.takes.attachments, k=1)
        if self.often(0.2):
            # An empty text among others is valid.
            parts.append(self.chance.choice(TEXTS))
        self.chance.shuffle(parts)
        return parts

    def exchange(self, place):
        """The assistant's turn, and the response to it."""
        said = [self.text() for _ in range(self.chance.randint(0, 2))]
        if self.takes.thoughts and self.often(0.4):
            said.insert(0, self.chance.choice(self.takes.thoughts))
        calls = []
        if self.often(0.5) or not any(not is_thought(part) for part in said):
            calls = [
                self.call(f"call_{place}_{n}") for n in range(self.chance.randint(1, 2))
            ]
        answer = [self.result(call) for call in calls]
        if not calls or self.often(0.3):
            answer += self.user()
        return [self.turn("assistant", said + calls), self.turn("user", answer)]

    def call(self, key):
        arguments = self.chance.choice([{"city": "Köln"}, {}, {"a": [1, None, {}]}])
        return {
            "type": "tool_call",
            "id": key,
            "name": "weather",
            "arguments": arguments,
        }

    def result(self, call):
        output = self.chance.choice(["sunny", '{"sky": "blue"}', "[1, 2]"])
        found = {"type": "tool_result", "id": call["id"], "output": output}
        if self.often(0.5):
            found["name"] = call["name"]
        if self.often(0.3):
            found["is_error"] = self.often(0.5)
        if self.takes.given and not found.get("is_error") and self.often(0.4):
            text = [output] if self.often(0.8) else []
            found["output"] = [*text, self.chance.choice(self.takes.given)]
        return found


def is_thought(part):
    return isinstance(part, dict) and part["type"] == "thinking"


def choosing(line):
    # A disabled tool call cannot be one of several.
    return line.get("tool_choice", "none") != "none"
