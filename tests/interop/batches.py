"""Generated batches: their requests, and the batches that are cancelled."""

from dataclasses import dataclass

# Probability of a word that controls an outcome, such as lmb:error-400; see docs/guide/emulator.md.
WORDS = {
    "": 30,
    "lmb:error-400": 3,
    "lmb:error-429": 3,
    "lmb:error-500": 3,
    "lmb:think": 3,
    "lmb:tool": 3,
    "lmb:truncate": 2,
    "lmb:refuse": 2,
    "lmb:filter": 2,
    "lmb:empty": 2,
    "lmb:failed": 2,
    "lmb:unknown-item": 1,
    "lmb:unanswered": 1,
    "lmb:twice": 1,
}
# Shares of all batches: with an expiring request, and cancelled.
EXPIRES, IS_CANCELLED = 0.2, 0.2
MOST_REQUESTS = 8

TEXTS = (
    "hello",
    "zwölf Boxkämpfer",
    'a "quote" \\ and\ttabs',
    "\u2028 \U0001f600",
    "漢字",
)
PROPERTIES = {"city": {"type": "string"}, "days": {"type": "integer"}}
PARAMETERS = {
    "type": "object",
    "properties": PROPERTIES,
    "required": ["city", "days"],
    "additionalProperties": False,
}


@dataclass
class Asked:
    """A request, independent of the provider."""

    key: str
    text: str
    tool: bool
    schema: bool


@dataclass
class Batch:
    by_us: bool
    route: str
    cancelled: bool
    asked: list[Asked]
    id: str = ""
    # Path of the handle from `lmbatch create`, if it made this batch.
    handle: str = ""


def generate(chance, count, routes):
    """`count` batches, alternately made by `lmbatch` and by the SDK, over every route in turn."""
    return [
        batch(chance, place % 2 == 0, routes[place // 2 % len(routes)])
        for place in range(count)
    ]


def batch(chance, by_us, route):
    asked = [
        request(chance, place) for place in range(chance.randint(1, MOST_REQUESTS))
    ]
    if chance.random() < EXPIRES:
        chance.choice(asked).text += " lmb:expire"
    return Batch(by_us, route, chance.random() < IS_CANCELLED, asked)


def request(chance, place):
    word = chance.choices(list(WORDS), WORDS.values())[0]
    if word == "lmb:unanswered" and not place:
        # At least one row must exist.
        word = ""
    text = f"{chance.choice(TEXTS)} {place} {word}".strip()
    # A missing or doubled row has an id like any other.
    key = f"r_{place}-{chance.randrange(1 << 32):x}"
    return Asked(key, text, word == "lmb:tool", not word and chance.random() < 0.2)


def line(asked):
    """A line of lmbatch's own input."""
    found = {"id": asked.key, "prompt": asked.text}
    if asked.tool:
        found["tools"] = [{"name": "weather", "parameters": PARAMETERS}]
    if asked.schema:
        found["schema"] = PARAMETERS
    return found
