"""What `crm-online dead-letters list` prints."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from crm_online.cloudevents import utc
from crm_online.dead_letters import REASONS
from crm_online.errors import ConfigurationError
from streams.dead_letters.letters import Letter, Letters
from streams.dead_letters.reading import LetterReader
from streams.exits import counted, say
from streams.screen import screen

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["about", "check_reason", "list_dead_letters", "state_of"]

_COLUMNS: Final = ("refused", "reason", "message", "bytes", "put back")


def list_dead_letters(
    settings: Settings, *, reason: str | None = None, limit: int | None = 20, json: bool = False
) -> int:
    """Print dead letters, newest first, and how many there are of each reason; returns 0.

    Parameters
    ----------
    settings
        Of the whole program.
    reason
        Print only those that were refused for this.
    limit
        Print at most so many; the counts are of all. None for no limit.
    json
        Print JSON in place of tables.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers.
    ConfigurationError
        Where the topic does not exist, or there is no such reason.
    """
    check_reason(reason)
    letters = asyncio.run(_read(settings))
    everything = list(letters.newest_first())
    matching = [each for each in everything if reason in {None, each.reason}]
    shown = list(islice(matching, limit))
    if json:
        found = {"dead_letters": [about(each) for each in shown], "reasons": _counts(everything)}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    else:
        _render(shown, everything, settings.topic("events"), screen())
        if len(shown) < len(matching):
            say(f"the newest {len(shown):,} of {len(matching):,}: see more by --limit")
        elif not shown:
            say(f"no dead letters on {settings.topic('dead-letters')}{_of(reason)}")
    if letters.foreign:
        say(f"{counted(letters.foreign, 'record')} on the topic with none of our headers left out")
    sys.stdout.flush()
    return 0


def check_reason(reason: str | None) -> None:
    """See that there is such a reason.

    Raises
    ------
    ConfigurationError
        Where there is none; the message lists those that there are.
    """
    if reason is not None and reason not in REASONS:
        raise ConfigurationError(
            f"--reason: there is no reason {reason!r}; there are: {', '.join(sorted(REASONS))}"
        )


async def _read(settings: Settings) -> Letters:
    async with LetterReader(settings) as reader:
        return await reader.letters()


def about(letter: Letter) -> dict[str, Any]:
    """Return a letter as JSON has it; free of personal data."""
    return {
        "place": str(letter.place),
        "reason": letter.reason,
        "message": letter.message,
        "bytes": letter.size,
        "truncated": letter.truncated,
        "put_back": letter.put_back > 0,
        "state": state_of(letter),
        "refused_at": utc(letter.timestamp / 1000.0),
        "letter": {"partition": letter.partition, "offset": letter.offset},
    }


def state_of(letter: Letter) -> str:
    """Return ``yes``, ``no``, or ``begun`` where a run that was to put it back ended early."""
    if letter.begun:
        return "begun"
    return "yes" if letter.put_back else "no"


def _counts(letters: Iterable[Letter]) -> dict[str, dict[str, int]]:
    """Count letters and put-backs by reason, the most frequent first."""
    found: dict[str, dict[str, int]] = {}
    for letter in letters:
        count = found.setdefault(letter.reason, {"letters": 0, "put_back": 0})
        count["letters"] += 1
        count["put_back"] += letter.put_back > 0
    return dict(sorted(found.items(), key=lambda item: (-item[1]["letters"], item[0])))


def _render(
    shown: Sequence[Letter], everything: Sequence[Letter], topic: str, console: Console
) -> None:
    if shown:
        places = [_place(letter, topic) for letter in shown]
        widest = max(map(len, places))  # what the other commands want is never cut
        place_column = Column("place", no_wrap=True, min_width=widest)
        table = Table(place_column, *_COLUMNS, box=None, pad_edge=False)
        for place, letter in zip(places, shown, strict=True):
            table.add_row(place, *map(Text, _cells(letter)))
        console.print(table)
    if everything:
        table = Table("reason", "letters", "put back", box=None, pad_edge=False)
        for reason, count in _counts(everything).items():
            table.add_row(Text(reason), f"{count['letters']:,}", f"{count['put_back']:,}")
        console.print()
        console.print(table)


def _place(letter: Letter, topic: str) -> str:
    return letter.place.short if letter.place.topic == topic else str(letter.place)


def _cells(letter: Letter) -> tuple[str, ...]:
    return (
        f"{utc(letter.timestamp / 1000.0):%Y-%m-%d %H:%M:%S}",
        letter.reason,
        letter.message,
        f"{letter.size:,}",
        state_of(letter),
    )


def _of(reason: str | None) -> str:
    return "" if reason is None else f" with reason {reason!r}"
