"""Where what we send is not what the SDK's types say, on purpose; docs.md of the adapter says so too.

Each exception takes its deviation out of a request, and says whether there was one.
"""

# The API version that has `temperature`, `top_p` and `top_k`, which the newest does not.
WITH_SAMPLING = "2023-06-01"


def sampling(request):
    """Only where it is set is the older version asked for, and the other way round."""
    params = request["params"]
    names = [name for name in ("temperature", "top_p", "top_k") if name in params]
    version = request["version"]
    assert bool(names) == (version == WITH_SAMPLING), f"{names} with {version}"
    for name in names:
        del params[name]
    return bool(names)


OPENAI = {}
ANTHROPIC = {
    "sampling goes with version 2023-06-01; the SDK's types are those of 2026-10-21": sampling,
}
GOOGLE = {}

ALL = {"openai": OPENAI, "anthropic": ANTHROPIC, "google": GOOGLE}
