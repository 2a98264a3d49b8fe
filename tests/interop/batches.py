"""Generated batches: what is asked in them, and which of them are cancelled."""

from dataclasses import dataclass

# How often a word that makes a request go wrong stands in one; see docs/guide/emulator.md.
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
# Of all batches, so many have a request that expires, and so many are cancelled.
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
    """One request in no one's words."""

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
    # Where `lmbatch create` left its handle, if it made this batch.
    handle: str = ""


def generate(chance, count, routes):
    """So many batches: one by `lmbatch`, one by the SDK, over every route in turn."""
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
        # Some row there always is.
        word = ""
    text = f"{chance.choice(TEXTS)} {place} {word}".strip()
    # A row that is missing or doubled bears an id like any other.
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
