"""Refreshes the table of prices from two packages that pip has downloaded. Called by `cargo xtask prices`.

    prices.py FOLDER TABLE DAY [--check]

FOLDER holds the wheels of genai-prices and litellm. Nothing in them is executed: the first is read as a syntax tree, of
which only known constructors are accepted, and the second as JSON. The names of the table stay as they are; its rates,
its days of retirement and its sizes are replaced. A model that genai-prices has a batch price for, and that no name of
the table matches, is added. Ends with 1 where both packages know a batch rate and differ.
"""

import ast
import json
import pathlib
import re
import sys
import zipfile
from decimal import Decimal

# Constructors of the data module. Any other call is an error.
CONSTRUCTORS = {
    "ArrayMatch", "ClauseAnd", "ClauseContains", "ClauseEndsWith", "ClauseEquals", "ClauseOr", "ClauseRegex",
    "ClauseStartsWith", "ConditionalPrice", "ModelInfo", "ModelPrice", "PriceVariant", "Provider",
    "StartDateConstraint", "Tier", "TieredPrices", "TimeOfDateConstraint", "UsageExtractor", "UsageExtractorMapping",
}  # fmt: skip

# Providers of genai-prices, and prefixes of names in LiteLLM, by the provider of the table.
GENAI = {"openai": "openai", "anthropic": "anthropic", "google": "google", "mistral": "mistral", "groq": "groq",
         "x-ai": "xai"}  # fmt: skip
LITELLM = {"openai": "", "anthropic": "", "google": "gemini/", "mistral": "mistral/", "groq": "groq/", "xai": "xai/",
           "azure": "azure/", "vertex": "vertex_ai/", "bedrock": "", "voyage": "voyage/"}  # fmt: skip

# Models that are not added: their tokens are not text, they are tuned by their users, or genai-prices lists them under
# another company's name.
SPECIAL = re.compile(r"image|tts|audio|live|realtime|transcribe|voxtral|^ft:|\.ft-")
FOREIGN = {"google": re.compile("^(?!gemini|gemma)")}

# Rates of the table, with their names in genai-prices and in LiteLLM.
RATES = {
    "in": ("input_mtok", "input_cost_per_token"),
    "cached": ("cache_read_mtok", "cache_read_input_token_cost"),
    "cache_write": ("cache_write_mtok", "cache_creation_input_token_cost"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_creation_input_token_cost_above_1hr"),
    "out": ("output_mtok", "output_cost_per_token"),
    "in_audio": ("input_audio_mtok", "input_cost_per_audio_token"),
}


def value(node):
    """Returns the value of an expression: constants, lists, dictionaries and known constructors."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {value(key): value(item) for key, item in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        arguments = [value(argument) for argument in node.args]
        if name == "Decimal":
            return Decimal(arguments[0])
        if name == "datetime.date":
            return "{:04}-{:02}-{:02}".format(*arguments)
        if name == "datetime.time":
            return arguments
        if name in CONSTRUCTORS and not arguments:
            return {"is": name} | {word.arg: value(word.value) for word in node.keywords}
        sys.exit(f"genai-prices: line {node.lineno} calls {name}, which is not known")
    if isinstance(node, ast.Attribute) and ast.unparse(node) == "datetime.timezone.utc":
        return "utc"
    sys.exit(f"genai-prices: line {node.lineno} has an expression that is not known")


def from_wheel(folder, package, member):
    """Returns the version of a package, and a file in its wheel."""
    (wheel,) = sorted(pathlib.Path(folder).glob(f"{package}-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        return wheel.name.split("-")[1], archive.read(member).decode()


def decimal(number):
    """Returns a rate as the table writes it: without an exponent and without zeros at the end."""
    rounded = number.quantize(Decimal("0.000001"))
    text = format(rounded, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def of_genai(price):
    """Returns a period of the table from a ModelPrice."""
    period, steps = {}, {}
    for name, (key, _) in RATES.items():
        rate = price.get(key)
        if isinstance(rate, dict):
            for tier in rate["tiers"]:
                steps.setdefault(tier["start"], {})[name] = decimal(tier["price"])
            rate = rate["base"]
        if rate is not None:
            period[name] = decimal(rate)
    if steps:
        period["long"] = [{"above_input_tokens": start} | steps[start] for start in sorted(steps)]
    return period


def periods_of(prices):
    """Returns the periods of a list of prices, each with its first day."""
    found = []
    for one in prices if isinstance(prices, list) else [prices]:
        conditional = one["is"] in ("ConditionalPrice", "PriceVariant")
        constraint = one.get("constraint") if conditional else None
        if constraint and constraint["is"] != "StartDateConstraint":
            return None
        price = one["prices"] if conditional else one
        period = of_genai(price)
        if "in" in period:
            start = {"from": constraint["start_date"]} if constraint else {}
            found.append(start | period)
    return sorted(found, key=lambda period: period.get("from", ""))


def of_litellm(entry, batches):
    """Returns a period of the table from an entry; `None` without a rate of input."""
    suffix = "_batches" if batches else ""
    rate = lambda key: entry.get(key)  # noqa: E731
    million = lambda number: decimal(Decimal(str(number)) * 1_000_000)  # noqa: E731
    period, steps = {}, {}
    for name, (_, key) in RATES.items():
        number = rate(key + suffix)
        if number is not None and not (name == "out" and entry.get("mode") == "embedding"):
            period[name] = million(number)
        for member, number in entry.items():
            above = re.fullmatch(re.escape(key) + r"_above_(\d+)k_tokens" + suffix, member)
            if above and number is not None:
                steps.setdefault(int(above[1]) * 1000, {})[name] = million(number)
    if "in" not in period:
        return None
    steps = {start: rates for start, rates in steps.items() if "in" in rates and rates["in"] != period["in"]}
    if steps:
        # This provider counts from 200,000 tokens on, not above them.
        at = 1 if entry.get("litellm_provider") == "xai" else 0
        period["long"] = [{"above_input_tokens": start - at} | steps[start] for start in sorted(steps)]
    return period


def patterns(clause, names):
    """Adds the names that a clause of genai-prices matches to `names`; returns whether the table can express it."""
    kinds = {"ClauseEquals": ("equals", "eq"), "ClauseStartsWith": ("starts_with", "prefix"),
             "ClauseEndsWith": ("ends_with", "suffix"), "ClauseContains": ("contains", "contains"),
             "ClauseRegex": ("regex", "re")}  # fmt: skip
    if clause["is"] == "ClauseOr":
        return all([patterns(part, names) for part in clause["or_"]])
    if clause["is"] in kinds:
        member, kind = kinds[clause["is"]]
        names.setdefault(kind, []).append(clause[member] if kind == "re" else clause[member].lower())
        return True
    return False


def matches(model, name):
    """Returns whether a model of the table has a name."""
    match = model["match"]
    return (
        name in match.get("eq", [])
        or any(name.startswith(prefix) for prefix in match.get("prefix", []))
        or any(name.endswith(suffix) for suffix in match.get("suffix", []))
        or any(part in name for part in match.get("contains", []))
        or any(re.search(pattern, name) for pattern in match.get("re", []))
    )


def names_of(model):
    return [model["model"], *model["match"].get("eq", []), *model["match"].get("prefix", [])]


def rates_on(periods, day):
    """Returns the period that counts on a day."""
    begun = [period for period in periods if period.get("from", "") <= day]
    return begun[-1] if begun else None


def with_period(periods, period, day):
    """Returns periods that end with a new one, if it differs from the last: this source has no history."""
    last = periods[-1] if periods else None
    if last and {key: last[key] for key in last if key != "from"} == period:
        return periods
    return [*periods, {"from": day} | period] if last else [period]


class Refresh:
    def __init__(self, folder, table, day):
        self.day = day
        self.table = table
        self.conflicts, self.notes = [], []
        self.version, source = from_wheel(folder, "genai_prices", "genai_prices/data.py")
        tree = ast.parse(source)
        (providers,) = [node.value for node in tree.body if isinstance(node, ast.AnnAssign)]
        providers = [(provider, value(provider)) for provider in providers.elts]
        self.genai = {GENAI[one["id"]]: one["models"] for _, one in providers if one["id"] in GENAI}
        self.litellm_version, text = from_wheel(
            folder, "litellm", "litellm/model_prices_and_context_window_backup.json"
        )
        self.litellm = json.loads(text)

    def run(self):
        for provider, models in self.genai.items():
            for info in models:
                self.add(provider, info)
        for model in self.table["models"]:
            self.refresh(model)

    def infos(self, model):
        """Returns the entry of genai-prices for a model: of equal names, the first in the order of the names."""
        by_id = {info["id"]: info for info in self.genai.get(model["provider"], [])}
        return next((by_id[name] for name in names_of(model) if name in by_id), None)

    def entry(self, model):
        """Returns the entry of LiteLLM for a model."""
        prefix = LITELLM.get(model["provider"])
        if prefix is None:
            return None
        keys = [prefix + name for name in names_of(model)]
        if model["provider"] == "vertex":
            keys += names_of(model)
        return next((self.litellm[key] for key in keys if key in self.litellm), None)

    def refresh(self, model):
        info, entry = self.infos(model), self.entry(model)
        name = f"{model['provider']}/{model['model']}"
        if info is None and entry is None:
            self.notes.append(f"{name} is in neither package any more, and keeps its prices")
            return
        entry = entry or {}
        of_entry = {"realtime": of_litellm(entry, False), "batch": of_litellm(entry, True)}
        of_info = {"realtime": None, "batch": None}
        if info and "gp" in model["src"]:
            variants = [one for one in info.get("price_variants", []) if one["when"] == {"processing": "batch"}]
            of_info = {"realtime": periods_of(info["prices"]), "batch": periods_of(variants)}
            if model.get("kind") == "embedding":
                for periods in of_info.values():
                    for period in periods or []:
                        period.pop("out", None)
        for which in ("realtime", "batch"):
            periods, own = of_info[which], of_entry[which]
            if periods:
                model[which] = periods
                self.compare(name, which, rates_on(periods, self.day), own)
            elif own:
                model[which] = with_period(model.get(which, []), own, self.day)
        if model.get("batch_is"):
            rate = Decimal(model["realtime"][-1]["in"]) * 2 / 3
            batch = {"in": decimal(rate.quantize(Decimal("0.0001")))}
            model["batch"] = with_period(model.get("batch", []), batch, self.day)
        if entry.get("deprecation_date"):
            model["retires"] = entry["deprecation_date"]

    def compare(self, name, which, period, own):
        """Notes a batch rate on which both packages differ."""
        if which != "batch" or not period or not own:
            return
        for rate in ("in", "out"):
            one, other = period.get(rate), own.get(rate)
            if one and other and one != other:
                self.conflicts.append(f"{name}: batch {rate} is {one} by genai-prices and {other} by LiteLLM")

    def add(self, provider, info):
        """Adds a model with a batch price that the table lacks."""
        variants = [one for one in info.get("price_variants", []) if one["when"] == {"processing": "batch"}]
        models = [model for model in self.table["models"] if model["provider"] == provider]
        name = info["id"].lower()
        foreign = FOREIGN.get(provider)
        if SPECIAL.search(name) or (foreign and foreign.search(name)):
            return
        if not variants or any(matches(model, name) or model["model"] == name for model in models):
            return
        names = {}
        realtime, batch = periods_of(info["prices"]), periods_of(variants)
        if not patterns(info["match"], names) or not realtime or not batch:
            self.notes.append(f"{provider}/{name} has a batch price that the table cannot express")
            return
        taken = [known for known in names.get("eq", []) if any(matches(model, known) for model in models)]
        if taken or any(key not in {name for name, _ in RATES.values()} for key in self.priced(info)):
            self.notes.append(f"{provider}/{name} has a batch price, and other units or names of another model")
            return
        names["prefix"] = [prefix for prefix in names.get("prefix", []) if not prefix.startswith("ft:")]
        model = {"provider": provider, "model": name, "match": {kind: names[kind] for kind in names if names[kind]}}
        if info.get("context_window"):
            model["context"] = info["context_window"]
        self.table["models"].append(model | {"realtime": realtime, "batch": batch, "src": ["gp"]})

    @staticmethod
    def priced(info):
        """Returns the names of the rates of tokens that a model has."""
        prices = info["prices"] if isinstance(info["prices"], list) else [info["prices"]]
        prices = [one["prices"] if one["is"] == "ConditionalPrice" else one for one in prices]
        return {key for price in prices for key in price if key.endswith("_mtok")}


def shown(model):
    """Returns the prices of a model, one line for each period."""
    lines = {}
    for which in ("realtime", "batch"):
        for period in model.get(which, []):
            lines[which, period.get("from", "always")] = json.dumps(
                {key: period[key] for key in period if key != "from"}, sort_keys=True
            )
    if model.get("retires"):
        lines["retires", ""] = model["retires"]
    return lines


def difference(before, after):
    """Prints what has changed; returns the number of changed models."""
    key = lambda model: (model["provider"], model["model"])  # noqa: E731
    old, new = {key(one): one for one in before}, {key(one): one for one in after}
    changed = 0
    for name in sorted(old.keys() | new.keys()):
        one, other = shown(old.get(name, {})), shown(new.get(name, {}))
        if one == other:
            continue
        changed += 1
        print("/".join(name))
        for part in sorted(one.keys() | other.keys()):
            if one.get(part) != other.get(part):
                for sign, lines in (("-", one), ("+", other)):
                    if part in lines:
                        print(f"  {sign} {' '.join(part)} {lines[part]}")
    return changed


def written(table):
    """Returns the text of the table: a line for each model."""
    lines = lambda items: ",\n".join("  " + json.dumps(item, ensure_ascii=False) for item in items)  # noqa: E731
    parts = []
    for name, part in table.items():
        if name in ("models", "rules", "reading"):
            parts.append(f' "{name}": [\n{lines(part)}\n ]')
        else:
            text = json.dumps(part, indent=1, ensure_ascii=False).replace("\n", "\n ")
            parts.append(f' "{name}": {text}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main():
    folder, path, day = sys.argv[1:4]
    path = pathlib.Path(path)
    table = json.loads(path.read_text())
    before = json.loads(path.read_text())["models"]
    refresh = Refresh(folder, table, day)
    refresh.run()
    changed = difference(before, table["models"])
    for note in refresh.notes:
        print(f"note: {note}")
    for conflict in refresh.conflicts:
        print(f"conflict: {conflict}")
    print(
        f"{changed} of {len(table['models'])} models changed, by genai-prices {refresh.version} and"
        f" LiteLLM {refresh.litellm_version}"
    )
    if refresh.conflicts:
        sys.exit("both packages know a batch rate and differ; nothing was written")
    if "--check" in sys.argv or not changed:
        return
    table["as_of"] = day
    table["sources"]["gp"]["what"] = f"genai-prices {refresh.version} (PyPI), data module"
    table["sources"]["ll"]["what"] = (
        f"litellm {refresh.litellm_version} (PyPI), model_prices_and_context_window_backup.json"
    )
    for source in ("gp", "ll"):
        table["sources"][source]["published"] = f"newest on {day}"
        table["sources"][source].pop("sha256", None)
    path.write_text(written(table))


if __name__ == "__main__":
    main()
