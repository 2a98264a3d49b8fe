"""Features that each provider accepts, by model and route: `lmbatch` refuses none of them."""

from corpus import (
    AUDIO,
    DOCUMENTS,
    EFFORTS,
    IMAGES,
    SCHEMAS,
    TEXTS,
    VIDEO,
    Takes,
    these,
)

ANY = ("base64", "path", "url", "file")
SAMPLING = {"temperature": [0, 0.5, 1], "top_p": [0.1, 0.9, 1.0]}
STOP = {"stop": ["END", ["END", "\n"]]}
TOKENS = {"max_tokens": [16, 1000]}
SEED = {"seed": [0, 7]}
PENALTIES = {"presence_penalty": [0.1, -2], "frequency_penalty": [-0.2, 2]}


def is_pdf(part):
    """Returns whether a document has none of the text types."""
    return "text/" not in str(part) and "table" not in str(part)


def efforts(*names):
    return [{"effort": name} for name in names]


def budgets(*tokens):
    return [{"budget_tokens": count} for count in tokens]


def responses_body(corpus):
    """A body of OpenAI's `/v1/responses` that every provider accepts."""
    body = {"model": "gpt-5-mini", "input": corpus.chance.choice(TEXTS[:4])}
    if corpus.often(0.5):
        body["instructions"] = "Be brief."
    if corpus.often(0.5):
        wanted = {"type": "json_schema", "name": "weather", "schema": SCHEMAS[0]}
        body["text"] = {"format": wanted}
    if corpus.often(0.5):
        text = {"type": "input_text", "text": "look"}
        image = {
            "type": "input_image",
            "image_url": "https://example.com/a.png",
            "detail": "auto",
        }
        body["input"] = [{"role": "user", "content": [text, image]}]
    return {"method": "POST", "url": "/v1/responses", "body": body}


def chat_body(corpus):
    """A body of OpenAI's `/v1/chat/completions` that every provider accepts."""
    function = {"name": "weather", "parameters": SCHEMAS[0]}
    call = {"name": "weather", "arguments": '{"city": "Bonn"}'}
    called = {"id": "call_1", "type": "function", "function": call}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": corpus.chance.choice(TEXTS[:4])},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    body = {
        "model": "gpt-5-mini",
        "messages": messages,
        "max_completion_tokens": 99,
        "tools": [{"type": "function", "function": function}],
        "tool_choice": corpus.chance.choice(["auto", "none", "required"]),
    }
    return {"method": "POST", "url": "/v1/chat/completions", "body": body}


def legacy_body(corpus):
    """A body with deprecated functions and with parts in a tool message, as OpenAI's own types define them."""
    called = {"name": "weather", "arguments": '{"city": "Bonn"}'}
    nothing = {"refusal": None, "audio": None, "function_call": None}
    call = {"id": "call_2", "type": "function", "function": {**called, "arguments": ""}}
    parts = [{"type": "text", "text": "sunny"}, {"type": "text", "text": "warm"}]
    messages = [
        {"role": "user", "content": corpus.chance.choice(TEXTS[:4])},
        {"role": "assistant", "content": "Sure.", **nothing},
        {"role": "user", "content": [{"type": "text", "text": "continue"}]},
        {"role": "assistant", "content": None, "function_call": called},
        {"role": "function", "name": "weather", "content": "sunny"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_2", "content": parts},
    ]
    body = {"model": "gpt-5-mini", "messages": messages}
    return {"method": "POST", "url": "/v1/chat/completions", "body": body}


def odd_body(corpus):
    """A body as OpenAI-compatible servers accept it, with replayed answers of theirs."""
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Bonn"}}}
    if corpus.often(0.5):
        call["id"] = corpus.chance.choice(["functions.weather:0", "x" * 80, ""])
    said = {"role": "assistant", "content": "Hm.", "annotations": []}
    messages = [
        {"role": "user", "content": ["look", "here"]},
        {**said, "tool_calls": [call], "logprobs": None},
        {"role": "tool", "tool_call_id": call.get("id", "weather"), "content": ["sunny"]},
    ]
    body = {"model": "gpt-5-mini", "messages": messages}
    return {"method": "POST", "url": "/v1/chat/completions", "body": body}


def output_body(_corpus):
    """A body with a function output in parts."""
    call = {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"}
    parts = [{"type": "input_text", "text": "sunny"}]
    output = {"type": "function_call_output", "call_id": "c", "output": parts}
    body = {"model": "gpt-5-mini", "input": [{"role": "user", "content": "x"}, call, output]}
    return {"method": "POST", "url": "/v1/responses", "body": body}


TRANSLATED = (responses_body, output_body, chat_body, legacy_body, odd_body)

OPENAI_THOUGHTS = [
    {"type": "thinking", "id": "rs_1", "text": "because", "data": "ZGF0YQ=="},
    {"type": "thinking", "id": "rs_1", "text": "because"},
    # Without an id it cannot be sent back, and is left out.
    {"type": "thinking", "text": "unsealed"},
    {"type": "thinking", "data": "ZGF0YQ=="},
]
OPENAI = [
    Takes(
        "openai",
        "gpt-5-mini",
        "responses",
        these(IMAGES, *ANY) + these(DOCUMENTS, *ANY),
        OPENAI_THOUGHTS,
        efforts(*EFFORTS),
        {
            **TOKENS,
            **SAMPLING,
            "metadata": [{"run": "x"}],
            "parallel_tool_calls": [True, False],
            "service_tier": ["auto", "default"],
            "store": [False],
            "text.verbosity": ["low", "high"],
            "truncation": ["auto", "disabled"],
            "include": [["reasoning.encrypted_content"]],
        },
        given=tuple(these(IMAGES, *ANY) + these(DOCUMENTS, *ANY)),
        bodies=(responses_body, output_body),
    ),
    Takes(
        "openai",
        "gpt-5-mini",
        "chat",
        these(IMAGES, "base64", "path", "url")
        # "Chat Completions accepts only PDF files as file content parts."
        + [part for part in these(DOCUMENTS, "base64", "path", "file") if is_pdf(part)]
        + these(AUDIO, "base64", "path"),
        OPENAI_THOUGHTS,
        efforts(*EFFORTS),
        {
            **TOKENS,
            **SAMPLING,
            **STOP,
            **SEED,
            **PENALTIES,
            "logprobs": [True],
            "logit_bias": [{"50256": -100}],
            "parallel_tool_calls": [True, False],
            "verbosity": ["low", "medium"],
            "safety_identifier": ["someone"],
        },
        bodies=(chat_body, legacy_body),
    ),
]

ANTHROPIC_THOUGHTS = [
    {"type": "thinking", "text": "because", "signature": "c2ln"},
    {"type": "thinking", "data": "ZGF0YQ=="},
    # Without a seal it cannot be sent back, and is left out.
    {"type": "thinking", "text": "unsealed"},
]
ANTHROPIC_ATTACHMENTS = these(IMAGES, *ANY) + these(DOCUMENTS, *ANY)
ANTHROPIC_PARAMETERS = {
    **TOKENS,
    **STOP,
    "metadata": [{"user_id": "someone"}],
    "service_tier": ["auto", "standard_only"],
    "tool_choice.disable_parallel_tool_use": [True, False],
}
ANTHROPIC_SAMPLING = {**SAMPLING, "top_k": [1, 40]}


def anthropic(model, thinking, parameters, **more):
    return Takes(
        "anthropic",
        model,
        "inline",
        ANTHROPIC_ATTACHMENTS,
        ANTHROPIC_THOUGHTS,
        thinking,
        {**ANTHROPIC_PARAMETERS, **parameters},
        given=tuple(ANTHROPIC_ATTACHMENTS),
        bodies=TRANSLATED,
        **more,
    )


ANTHROPIC = [
    anthropic(
        "claude-haiku-4-5",
        efforts(*EFFORTS) + budgets(1024, 5000),
        ANTHROPIC_SAMPLING,
        prefill=True,
    ),
    anthropic("claude-opus-4-6", efforts(*EFFORTS) + budgets(1024), ANTHROPIC_SAMPLING),
    anthropic("claude-sonnet-5", efforts(*EFFORTS), {}),
]

GOOGLE_THOUGHTS = [
    {"type": "thinking", "text": "because", "signature": "c2ln"},
    {"type": "thinking", "signature": "c2ln"},
    # Thoughts without a seal are left out.
    {"type": "thinking", "text": "unsealed"},
]
GOOGLE_PARAMETERS = {
    **TOKENS,
    **SAMPLING,
    **STOP,
    **SEED,
    **PENALTIES,
    "top_k": [1, 40],
    # Either spelling goes; each route gets its own.
    "generationConfig.responseModalities": [["TEXT"]],
    "generation_config.candidate_count": [1],
    "safetySettings": [
        [
            {
                "category": "HARM_CATEGORY_HARASSMENT",
                "threshold": "BLOCK_ONLY_HIGH",
            }
        ]
    ],
    "cached_content": ["cachedContents/x"],
}


def google(model, route, thinking, given=()):
    return Takes(
        "google",
        model,
        route,
        these(IMAGES, *ANY)
        + these(DOCUMENTS, *ANY)
        + these(AUDIO, "base64", "path", "url")
        + these(VIDEO, "base64", "url", "file"),
        GOOGLE_THOUGHTS,
        thinking,
        GOOGLE_PARAMETERS,
        prefill=True,
        given=tuple(given),
        bodies=TRANSLATED,
    )


BUDGETS = efforts(*EFFORTS) + budgets(0, 77)
# Images and documents in the results of tools are bytes, from Gemini 3 on.
GIVEN = these(IMAGES, "base64", "path") + these(DOCUMENTS, "base64", "path")
# Thinking cannot be turned off from Gemini 3 on.
LEVELS = efforts(*EFFORTS[1:])
GOOGLE = [
    google("gemini-2.5-flash", "file", BUDGETS),
    google("gemini-2.5-flash", "inline", BUDGETS),
    google("gemini-3-flash", "file", LEVELS, GIVEN),
    google("gemini-3-flash", "inline", LEVELS, GIVEN),
]

ALL = {"openai": OPENAI, "anthropic": ANTHROPIC, "google": GOOGLE}
