"""A catalogue file: tables and JSON lines, read whole, with every place that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from crm_online.catalogue import CatalogueItem
from crm_online.errors import ConfigurationError, EventRejected
from crm_online.items import identifier
from crm_online.simulation.source import Source

__all__ = ["COLUMNS", "FORMATS", "CatalogueFile", "Problem", "read_catalogue"]

FORMATS: Final = ("csv", "tsv", "jsonl")
# Field of an item to the names that its column goes by, the likeliest first.
COLUMNS: Final = {
    "id": ("item_id", "product_id", "id", "sku", "item", "stockcode"),
    "name": ("name", "title", "product_name", "description"),
    "category": ("category", "product_category", "product_type", "category_name"),
    "price": ("price", "unit_price", "unitprice"),
    "available": ("available", "availability", "in_stock"),
    "currency": ("currency",),
}
_SUFFIXES: Final = {
    **dict.fromkeys((".csv", ".txt"), "csv"),
    **dict.fromkeys((".tsv", ".tab"), "tsv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
}
_WORDS: Final = {
    **dict.fromkeys(("", "true", "1", "yes", "in stock"), True),
    **dict.fromkeys(("false", "0", "no", "out of stock"), False),
}
_PRICE: Final = re.compile(
    r"(?:([A-Z]{3}) ?)?([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)(?: ?([A-Z]{3}))?"
)
_SHOWN: Final = 40


class Problem(NamedTuple):
    """One place in a file that is wrong.

    Parameters
    ----------
    line
        From 1.
    column
        Name of a field, or ``""`` where the line as a whole is wrong.
    message
        What is wrong with it.
    """

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"line {self.line}{f', {self.column}' if self.column else ''}: {self.message}"


class CatalogueFile(NamedTuple):
    """What a file holds.

    Parameters
    ----------
    items
        By id; of several with one id the last.
    duplicates
        Rows that another one with the same id came after.
    problems
        In the order of the file; where there is one, the file is not to be loaded.
    """

    items: dict[str, CatalogueItem]
    duplicates: int
    problems: list[Problem]

    @property
    def problem_lines(self) -> list[int]:
        """Numbers of the lines that anything is wrong with."""
        return list(dict.fromkeys(problem.line for problem in self.problems))


def read_catalogue(
    path: Path, format_: str | None = None, columns: Mapping[str, str | None] | None = None
) -> CatalogueFile:
    """Read a catalogue file to its end, whatever is wrong in it.

    Parameters
    ----------
    path
        The file; gzip is unpacked on the way.
    format_
        One of `FORMATS`; guessed from the file's name without it.
    columns
        Field (a key of `COLUMNS`) to the name of its column; those that are not named go by the
        usual names.

    Raises
    ------
    ConfigurationError
        Where there is no such file, its format cannot be guessed, or a column is missing.
    """
    named = {field: name for field, name in (columns or {}).items() if name}
    source = Source(path)
    kind = format_ or _guess(path)
    rows = _json_rows(source, named) if kind == "jsonl" else _table_rows(source, named)
    items: dict[str, CatalogueItem] = {}
    problems: list[Problem] = []
    duplicates = 0
    for line, cells in rows:
        item = cells if isinstance(cells, list) else _item(line, cells)
        if isinstance(item, list):
            problems += item
            continue
        duplicates += item.item_id in items
        items[item.item_id] = item
    problems += _damage(source)
    return CatalogueFile(items, duplicates, sorted(problems))


def _damage(source: Source) -> Iterator[Problem]:
    """Say where the reader itself left rows out; beyond the first few it knows only how many."""
    for reason, count in source.skipped.items():
        lines = source.examples[reason]
        for line in lines + lines[-1:] * (count - len(lines)):
            yield Problem(line, "", reason.replace("-", " "))


def _guess(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    found = _SUFFIXES.get(Path(name).suffix)
    if found is None:
        raise ConfigurationError(
            f"the name of {path.name} does not say what is in it: say --format {'|'.join(FORMATS)}"
        )
    return found


def _table_rows(
    source: Source, named: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, str] | list[Problem]]]:
    """Read rows; a column that was named must be there, and so must the ids."""
    required = [field for field in COLUMNS if field in named or field == "id"]
    optional = [field for field in COLUMNS if field not in required]
    fields = required + optional
    accepted = {field: (named[field],) if field in named else COLUMNS[field] for field in fields}
    for row in source.table(
        tuple(accepted[field] for field in required), tuple(accepted[field] for field in optional)
    ):
        yield row.line, dict(zip(fields, row.cells, strict=True))


def _json_rows(
    source: Source, named: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, str] | list[Problem]]]:
    for line, text in source.lines():
        try:
            read = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            read = None
        if not isinstance(read, dict):
            yield line, [Problem(line, "", "is no JSON object")]
            continue
        given = {name.strip().lower(): value for name, value in reversed(read.items())}
        yield line, _json_cells(line, given, named)


def _json_cells(
    line: int, given: dict[str, Any], named: Mapping[str, str]
) -> dict[str, str] | list[Problem]:
    cells, problems = {}, []
    for field, usual in COLUMNS.items():
        accepted = (named[field].lower(),) if field in named else usual
        value = next((given[name] for name in accepted if name in given), None)
        if isinstance(value, dict | list) or (field == "id" and isinstance(value, bool | float)):
            problems.append(Problem(line, field, "is neither a text nor a whole number"))
        cells[field] = "" if value is None else str(value)
    return problems or cells


def _item(line: int, cells: Mapping[str, str]) -> CatalogueItem | list[Problem]:
    cells = {field: cell.strip() for field, cell in cells.items()}
    price = _PRICE.fullmatch(cells["price"])
    available = _WORDS.get(cells["available"].lower().replace("_", " "))
    fields = {
        "item_id": cells["id"],
        "name": cells["name"],
        "category": cells["category"],
        "price": float(price[2]) if price else None,
        "currency": (price and (price[1] or price[3])) or cells["currency"],
        "available": available is not False,
    }
    problems = []
    if cells["price"] and price is None:
        message = f"{_shown(cells['price'])} is no price such as 12.50"
        problems.append(Problem(line, "price", message))
    if available is None:
        message = f"{_shown(cells['available'])} is neither yes nor no"
        problems.append(Problem(line, "available", message))
    if not problems:
        try:
            return msgspec.convert(fields, CatalogueItem)
        except msgspec.ValidationError:
            pass  # which names the first field only
    refused = (Problem(line, *_fault(field, value)) for field, value in fields.items())
    return problems + [problem for problem in refused if problem.message]


def _fault(field: str, value: object) -> tuple[str, str]:
    """Say what is wrong with one field of an item, by the name of its column; or ``""``."""
    if field == "item_id":
        return "id", _fault_of_id(str(value))
    try:
        msgspec.convert({"item_id": "-", field: value}, CatalogueItem)
    except msgspec.ValidationError as error:
        message = str(error).partition(" - at `$.")[0].removeprefix(f"{field} ")
        return field, message[:1].lower() + message[1:]
    return field, ""


def _fault_of_id(item: str) -> str:
    if not item:
        return "is missing"
    try:
        identifier(item, "it")
    except EventRejected as rejected:
        return rejected.message
    return ""


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}…")
