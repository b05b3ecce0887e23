"""What `crm-online dead-letters show` prints of one letter."""

from __future__ import annotations

import asyncio
import base64
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.dead_letters.letters import Letter
from streams.dead_letters.listing import about, state_of
from streams.dead_letters.marks import Place, parse_place
from streams.dead_letters.reading import LetterReader
from streams.exits import EXIT_FAILED, say
from streams.screen import screen

if TYPE_CHECKING:
    from crm_online.log import Record
    from crm_online.settings import Settings

__all__ = ["printable", "show_dead_letter"]


def show_dead_letter(
    settings: Settings, place: str, *, json: bool = False, raw: bool = False
) -> int:
    """Print a letter's headers and the rejected bytes; returns 1 where there is no such letter.

    Parameters
    ----------
    settings
        Of the whole program.
    place
        Such as ``crm.events[3]@17``.
    json
        Print JSON in place of tables.
    raw
        Write the rejected bytes as they are, and nothing else.

    Raises
    ------
    ConfigurationError
        Where the place is none, or both `json` and `raw` are asked for.
    BrokerUnavailable
        Where no broker answers.
    """
    wanted = parse_place(place, settings.topic("events"))
    found = asyncio.run(_read(settings, wanted))
    if found is None and wanted.topic != settings.topic("events"):
        say(
            f"{wanted} is of another topic than {settings.topic('events')}: set CRM_APP, or write "
            f"{wanted.short}"
        )
        return EXIT_FAILED
    if found is None:
        say(
            f"there is no dead letter of {wanted}: see `crm-online dead-letters list`; they are "
            f"kept for {settings.retention_days:g} days"
        )
        return EXIT_FAILED
    letter, record = found
    if raw:
        sys.stdout.buffer.write(record.value or b"")
        if letter.truncated:
            say(f"cut: the first {letter.kept:,} of {letter.size:,} bytes")
    elif json:
        sys.stdout.write(_as_json(letter, record) + "\n")
    else:
        _render(letter, record, screen())
    sys.stdout.flush()
    return 0


async def _read(settings: Settings, place: Place) -> tuple[Letter, Record] | None:
    async with LetterReader(settings) as reader:
        letter = (await reader.letters()).get(place)
        if letter is not None:
            async for found in reader.records([letter]):
                return found
    return None


def _as_json(letter: Letter, record: Record) -> str:
    found = about(letter) | {
        "key": _text_or_base64(record.key),
        "headers": {name: value.decode(errors="replace") for name, value in record.headers},
        "value": _text_or_base64(record.value),
    }
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def _text_or_base64(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _render(letter: Letter, record: Record, console: Console) -> None:
    console.print(Text(f"Dead letter {letter.place}", style="bold"))
    table = Table.grid(padding=(0, 2))
    size = f"{letter.size:,}" + (f", cut to {letter.kept:,}" if letter.truncated else "")
    table.add_row("bytes", size)
    table.add_row("put back", state_of(letter))
    table.add_row("key", Text("none" if record.key is None else printable(record.key)))
    for name, value in record.headers:
        table.add_row(Text(name), Text(printable(value)))
    console.print(table)
    console.print()
    console.print(Text(_pretty(record.value or b"")), soft_wrap=True)


def _pretty(value: bytes) -> str:
    if not value:
        return "(no bytes)"
    try:
        return printable(msgspec.json.format(value, indent=2))
    except (msgspec.MsgspecError, RecursionError):  # no JSON, or too deep
        return printable(value)


def printable(value: bytes) -> str:
    r"""Return bytes as text that shows what is damaged and that no terminal takes for a command.

    Examples
    --------
    >>> printable(b"G\xe4rten \x1b[31m")
    'G\\xe4rten \\x1b[31m'
    """
    text = value.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
