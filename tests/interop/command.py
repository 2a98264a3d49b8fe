"""The `lmbatch` command, as users run it."""

import json
import os
import subprocess

from checks import KEY, URL

COMMAND = os.environ.get("LMBATCH_INTEROP_COMMAND", "lmbatch")

# "finished, some outputs are not usable": the output is complete nevertheless.
FINISHED = (0, 3)

ENVIRONMENT = {
    **os.environ,
    **{f"{name}_API_KEY": KEY for name in ("OPENAI", "ANTHROPIC", "GOOGLE")},
}


def base_url(provider, url=URL):
    """The base URL of a provider; OpenAI's includes the version."""
    return f"{url}/v1" if provider == "openai" else url


def lmbatch(*args, codes=(0,)):
    """The output of the command."""
    done = subprocess.run(
        [COMMAND, *map(str, args)], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode in codes, f"{args[0]}: {done.returncode}: {done.stderr}"
    return done.stdout


def create(provider, model, input_path, handle, *more):
    args = ("create", input_path, "-m", f"{provider}/{model}", "--handle", handle)
    return lmbatch(*args, "--base-url", base_url(provider), *more).strip()


def cancel(provider, batch):
    lmbatch("cancel", batch, "-p", provider, "--base-url", base_url(provider))


def status(provider, batch):
    args = ("status", batch, "-p", provider, "--json")
    return json.loads(lmbatch(*args, "--base-url", base_url(provider)))


def retrieve(provider, batch, handle=None):
    args = ["retrieve", batch, "-p", provider, "--base-url", base_url(provider)]
    if handle:
        args += ["--handle", handle]
    return [json.loads(row) for row in lmbatch(*args, codes=FINISHED).splitlines()]
