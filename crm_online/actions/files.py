"""Rules files, TOML or YAML: read, checked, and every error with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from crm_online.actions.rules import RuleSet
from crm_online.actions.templates import traits_of
from crm_online.actions.when import TAG
from crm_online.errors import ConfigurationError

__all__ = ["check_traits", "read_rules_file"]

Path_ = tuple[str | int, ...]
Lines = dict[Path_, int]

MAX_BYTES: Final = 512 * 1024  # what fits into one record
MAX_DEEP: Final = 50  # lists and mappings within each other; no rule needs as many
_HEADER: Final = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_ENTRY: Final = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[^=\s]+)*)\s*=""")
# What the libraries of both formats raise beside their own errors: of 30 February, of !!bool x, of
# lists a thousand deep.
_UNREADABLE: Final = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
_INNER: Final = re.compile(r"([A-Za-z0-9_-]+)\s*=")


def read_rules_file(file: Path) -> RuleSet:
    """Read and check a rules file.

    Parameters
    ----------
    file
        ``.toml``, ``.yaml`` or ``.yml``.

    Raises
    ------
    ConfigurationError
        Naming the file, and of each fault the line, the place and what is wrong.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the rules file {file}: {error}") from None
    if len(text) > MAX_BYTES:
        raise ConfigurationError(f"{file} is longer than {MAX_BYTES} bytes: make fewer rules")
    lines: Lines = {}
    try:
        read = _read_yaml if file.suffix in {".yaml", ".yml"} else _read_toml
        said, lines = read(file, text)
        return RuleSet.model_validate(said)
    except ValidationError as error:
        faults = "; ".join(_fault(each, lines) for each in error.errors(include_url=False))
        raise ConfigurationError(f"{file}: {faults}") from None
    except _UNREADABLE as error:
        why = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"{file}: holds a value that cannot be read: {why}") from None


def check_traits(rules: RuleSet, kept: frozenset[str]) -> None:
    """Refuse rules that need traits which scores do not carry.

    Raises
    ------
    ConfigurationError
        Naming the rule, the trait and the setting.
    """
    for rule in rules.rules:
        needed = set(rule.who.traits).union(*map(traits_of, rule.template.values()))
        for trait in sorted(needed - kept):
            raise ConfigurationError(
                f"rule {rule.name} needs the trait {trait}, which scores do not carry: add it to "
                "CRM_KEPT_TRAITS"
            )


def _fault(error: Any, lines: Lines) -> str:
    place = tuple(p for p in error["loc"] if not str(p).startswith(TAG))
    where = ".".join(map(str, place)) or "the file"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "there is no such key"
    return f"line {_line(place, lines)}, {where}: {message}"


def _line(place: Path_, lines: Lines) -> int:
    """Return the line of a place, else of what it is in."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _read_yaml(file: Path, text: str) -> tuple[Any, Lines]:
    lines: Lines = {}
    try:
        _refuse_endless(file, text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return {}, lines
        for place, line in _nodes(node, ()):
            if place in lines:
                raise ConfigurationError(f"{file}: line {line}: {place[-1]} is said twice")
            lines[place] = line
        return yaml.safe_load(text), lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{file}: line {line}: no YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{file}: no YAML: {error}") from None


def _refuse_endless(file: Path, text: str) -> None:
    """Refuse aliases, of which a few stand for a file of any size, and lists in lists in lists."""
    deep = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise ConfigurationError(
                f"{file}: line {line}: write out what *{event.anchor} stands for"
            )
        deep += isinstance(event, yaml.CollectionStartEvent)
        deep -= isinstance(event, yaml.CollectionEndEvent)
        if deep > MAX_DEEP:
            raise ConfigurationError(f"{file}: line {line}: lies more than {MAX_DEEP} deep")


def _nodes(node: yaml.Node, place: Path_) -> Iterator[tuple[Path_, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*place, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _nodes(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*place, index), value.start_mark.line + 1
            yield from _nodes(value, (*place, index))


def _read_toml(file: Path, text: str) -> tuple[Any, Lines]:
    try:
        return tomllib.loads(text), _toml_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: no TOML: {error}") from None


def _toml_lines(text: str) -> Lines:
    """Find the lines of tables and keys; what stands within a value has its key's, or its own."""
    lines: Lines = {}
    counts: dict[Hashable, int] = {}
    table: Path_ = ()
    for number, line in enumerate(text.splitlines(), 1):
        header, entry = _HEADER.match(line), _ENTRY.match(line)
        if header is not None and "=" not in line.partition("#")[0]:
            table = _table(header[2], counts, many=header[1] == "[[")
            lines.setdefault(table, number)
        elif entry is not None:
            key = (*table, *_parts(entry[1]))
            lines.setdefault(key, number)
            for inner in _INNER.findall(line[entry.end() :]):
                lines.setdefault((*key, inner), number)
    return lines


def _table(name: str, counts: dict[Hashable, int], *, many: bool) -> Path_:
    place: Path_ = ()
    parts = _parts(name)
    for index, part in enumerate(parts, 1):
        place = (*place, part)
        if many and index == len(parts):
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place


def _parts(name: str) -> Path_:
    return tuple(part.strip().strip("\"'") for part in name.split("."))
