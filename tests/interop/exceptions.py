"""Intentional differences between sent requests and the SDK's types, also in the adapter's docs.md.

Each exception takes its deviation out of a request, and says whether there was one.
"""

# The API version with `temperature`, `top_p` and `top_k`, which the newest version lacks.
WITH_SAMPLING = "2023-06-01"


def sampling(request):
    """The older version is requested if and only if one of these parameters is set."""
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
