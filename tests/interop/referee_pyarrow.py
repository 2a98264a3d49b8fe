"""pyarrow writes what `lmbatch run` reads, and reads what it writes."""

import datetime
import decimal
import json
import pathlib
import tempfile
import uuid

import pyarrow
import pyarrow.parquet

import command
from checks import Checks, equal

check = Checks(f"python pyarrow {pyarrow.__version__}")
folder = tempfile.TemporaryDirectory(prefix="lmbatch-interop-")
home = pathlib.Path(folder.name)
SOURCES = (("snappy", "1.0"), ("zstd", "2.6"), ("gzip", "2.6"), ("lz4", "2.4"))
ROWS = 2_000


def table(rows=ROWS):
    """Columns of every type, in which every third value is null."""

    def column(kind, value):
        return pyarrow.array(
            [None if row % 3 == 2 else value(row) for row in range(rows)], kind
        )

    day = datetime.date(2026, 11, 27)
    moment = datetime.datetime(2026, 11, 27, 9, 30)
    utc = datetime.timezone.utc
    return pyarrow.table(
        {
            "id": pyarrow.array(range(rows), pyarrow.int64()),
            "text": column(pyarrow.string(), lambda row: f'ü "{row}"\n'),
            "large": column(pyarrow.large_string(), str),
            "view": column(pyarrow.string_view(), str),
            "word": column(pyarrow.string(), lambda row: "red").dictionary_encode(),
            "u64": column(pyarrow.uint64(), lambda row: 2**64 - 1 - row),
            "i8": column(pyarrow.int8(), lambda row: -(row % 100)),
            "f32": column(pyarrow.float32(), lambda row: row / 8),
            "f64": column(pyarrow.float64(), lambda row: row / 10),
            "flag": column(pyarrow.bool_(), lambda row: row % 2 == 0),
            "amount": column(
                pyarrow.decimal128(20, 4), lambda row: decimal.Decimal(row) / 8
            ),
            "huge": column(pyarrow.decimal256(60, 2), decimal.Decimal),
            "day": column(pyarrow.date32(), lambda row: day),
            "time": column(pyarrow.time64("us"), lambda row: moment.time()),
            "local": column(pyarrow.timestamp("ms"), lambda row: moment),
            "moment": column(
                pyarrow.timestamp("us", "Europe/Berlin"),
                lambda row: moment.replace(tzinfo=utc),
            ),
            "tags": column(pyarrow.list_(pyarrow.string()), lambda row: ["a", None]),
            "large_tags": column(pyarrow.large_list(pyarrow.int32()), lambda row: [row]),
            "pair": column(pyarrow.list_(pyarrow.int32(), 2), lambda row: [row, 1]),
            "person": column(
                pyarrow.struct([("name", pyarrow.string()), ("age", pyarrow.int16())]),
                lambda row: {"name": "Zoë", "age": None},
            ),
            "scores": column(
                pyarrow.map_(pyarrow.string(), pyarrow.int32()), lambda row: [("x", row)]
            ),
            "key": column(pyarrow.uuid(), lambda row: uuid.UUID(int=row).bytes),
        }
    )


def shown(row):
    """A row as JSON of `lmbatch`."""

    def value(name, cell):
        if isinstance(cell, decimal.Decimal | uuid.UUID):
            return str(cell)
        if name == "moment" and cell is not None:
            return cell.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        if isinstance(cell, datetime.date | datetime.time):
            return cell.isoformat()
        if name == "scores" and cell is not None:
            return dict(cell)
        return cell

    return {name: value(name, cell) for name, cell in row.items()}


def run(source, output, *more):
    args = ("run", source, "-m", "openai/gpt-5.4-mini", "--emulate", "-q", "-o", output)
    state = ("--state-dir", home / "state")
    command.lmbatch(*args, *state, *more, codes=command.FINISHED)


@check("every type of a column is read as its value, in every compression")
def _():
    made = table()
    for compression, version in SOURCES:
        source = home / f"{compression}.parquet"
        pyarrow.parquet.write_table(
            made, source, compression=compression, version=version, row_group_size=700
        )
        output = home / f"{compression}.jsonl"
        run(source, output, "--prompt", "{{ row }}", "--keep", "*")
        lines = output.read_text(encoding="utf-8").splitlines()
        equal(len(lines), ROWS)
        for line, row in zip(map(json.loads, lines), made.to_pylist(), strict=True):
            expected = shown(row)
            equal(line["metadata"], expected)
            equal(line["id"], row["id"])
            # The prompt has the same values.
            equal(json.loads(line["text"].removeprefix("echo: ")), expected)
    return f"{len(SOURCES)} files of {ROWS} rows"


@check("an output has typed columns and exact costs")
def _():
    output = home / "out.parquet"
    run(home / "zstd.parquet", output, "--prompt", "{{ text }}", "--keep", "word")
    found = pyarrow.parquet.read_table(output)
    kinds = {field.name: str(field.type) for field in found.schema}
    equal(kinds["input_tokens"], "uint64")
    equal(kinds["cost_usd"], "decimal128(38, 12)")
    equal(kinds["emulated"], "bool")
    rest = {"string"}
    counted = {name for name in kinds if name.endswith("_tokens")}
    typed = counted | {"cost_usd", "cost_usd_at_most", "emulated"}
    equal({kind for name, kind in kinds.items() if name not in typed}, rest)
    source = table()
    texts = ["null" if text is None else text for text in source["text"].to_pylist()]
    equal(found["id"].to_pylist(), [str(row) for row in range(ROWS)])
    equal(found["text"].to_pylist(), [f"echo: {text}" for text in texts])
    equal(found["word"].to_pylist(), source["word"].to_pylist())
    assert all(found["emulated"].to_pylist())
    equal(found["error_kind"].null_count, ROWS)
    ids = source["id"].cast("string")
    keyed = source.select(["u64"]).append_column("id", ids)
    joined = keyed.join(found.select(["id", "text"]), "id", join_type="inner")
    equal(joined.num_rows, ROWS)
    return f"{found.num_rows} rows, {len(kinds)} columns"


check.done()
