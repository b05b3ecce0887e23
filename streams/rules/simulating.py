"""What `crm-online rules simulate` does: tries rules on a file or a topic, and sends nothing."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import typer

from crm_online.actions.files import check_traits, read_rules_file
from crm_online.actions.trying import try_rules
from crm_online.errors import ConfigurationError
from crm_online.simulation.offline import score_history
from streams.admin import Admin
from streams.evaluating.tables import print_json, print_table
from streams.exits import counted, say
from streams.progress import progress_bar
from streams.steps import ColumnNames, History, open_history, parse_max_ahead
from streams.upkeep.scanning import Scan
from streams.upkeep.work import Work

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["simulate_rules"]


class _At(msgspec.Struct):
    """What of a score puts it in order."""

    at: datetime


_decode: Final = msgspec.json.Decoder(_At).decode
NO_COLUMNS: Final = ColumnNames(None, None, None, None, None)


def simulate_rules(settings: Settings, file: Path, source: str, *, json: bool) -> int:
    """Try rules on the past; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    file
        The rules.
    source
        A file of events or of scores, JSON lines, or the topic of events or of scores.
    json
        Print JSON in place of a table.

    Raises
    ------
    ConfigurationError
        Where the rules have a fault, or there is no such source.
    BrokerUnavailable
        Where a topic cannot be read.
    """
    rules = read_rules_file(file)
    check_traits(rules, frozenset(settings.kept_traits))
    with tempfile.TemporaryDirectory() as folder:
        past = Path(source)
        if not past.is_file():
            past = Path(folder) / "past.jsonl"
            asyncio.run(_copy(settings, source, past))
        trial = try_rules(_scores(settings, past), rules, settings)
    if not trial.scores:
        say(f"{source} holds no score and no event")
        return 1
    figures = trial.figures(rules)
    print_json(figures) if json else _print(figures)
    return 0


async def _copy(settings: Settings, topic: str, past: Path) -> None:
    nouns = {settings.topic(noun): noun for noun in ("events", "scores")}
    if topic not in nouns:
        raise ConfigurationError(
            f"--from takes a file, {' or '.join(nouns)}; there is no file {topic}"
        )
    if nouns[topic] == "scores":
        say(
            f"{topic} is compacted: of what is older than an hour only the last score of each "
            f"customer is left; try {settings.topic('events')} for more",
            style="yellow",
        )
    work, count = Work(), Admin(settings).count(topic)
    with past.open("wb") as out, progress_bar(work.stage):
        async with Scan(settings, work) as scan:
            spans = await scan.bounds(nouns[topic], count)
            async for _, records in scan.read(nouns[topic], spans, "reading"):
                out.writelines(
                    r.value + b"\n" for r in records if r.value and r.key and r.key[:1] != b"\0"
                )


def _scores(settings: Settings, past: Path) -> Iterator[bytes]:
    with past.open("rb") as lines:
        first = lines.readline()
        if b'"score_id"' in first:
            yield from _by_time(past)
            return
    history: History = open_history(past, "segment", NO_COLUMNS, None)
    with progress_bar(lambda: history.stage("scoring"), beside_output=True):
        for effects in score_history(
            history.steps(parse_max_ahead(None, settings), settings), settings
        ):
            for message in effects.outputs.get("scores", ()):
                if message.value is not None and message.key and message.key[:1] != b"\0":
                    yield message.value


def _by_time(past: Path) -> Iterator[bytes]:
    """Return lines in the order of their time: of a topic, partitions stand behind each other."""
    places: list[tuple[float, int]] = []
    with past.open("rb") as lines:
        position, at = 0, 0.0
        for line in lines:
            with suppress(msgspec.MsgspecError):  # it stays where it is, and is counted there
                at = _decode(line).at.timestamp()
            if line.strip():
                places.append((at, position))
            position += len(line)
        for _, position in sorted(places):
            lines.seek(position)
            yield lines.readline()


def _print(figures: dict[str, Any]) -> None:
    typer.echo(
        f"{counted(figures['delivered'], 'action')} would have been sent to "
        f"{counted(figures['customers_reached'], 'customer')} of {figures['customers']:,}, in "
        f"{figures['days']:.0f} days; nothing was sent"
    )
    if figures["unreadable"]:
        typer.echo(f"{counted(figures['unreadable'], 'line')} could not be read, and was left out")
    if figures["busiest_day"]:
        busiest = figures["busiest_day"]
        typer.echo(
            f"at most {figures['most_to_one']} to one customer; {busiest['delivered']:,} on the "
            f"busiest day, {busiest['day']}"
        )
    rows = [
        [
            each["rule"],
            f"{each['delivered']:,}",
            f"{each['customers']:,}",
            f"{each['control']:,}",
            f"{each['held']:,}",
            ", ".join(f"{n:,} {why}" for why, n in each["held_back"].items()) or "–",
        ]
        for each in figures["rules"]
    ]
    print_table(["rule", "sent", "customers", "control", "held first", "held back"], rows)
