"""What `crm-online dead-letters replay` does: puts back what the scorer will now accept."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crm_online.customers.state import DAY
from crm_online.errors import ConfigurationError, EventRejected
from streams.dead_letters.letters import Letter, Letters
from streams.dead_letters.listing import check_reason
from streams.dead_letters.marks import Place, parse_place
from streams.dead_letters.mending import Mended, mend
from streams.dead_letters.putting_back import PutBack, putting_back
from streams.dead_letters.reading import LetterReader, broker_errors
from streams.dead_letters.reporting import Report, print_json, print_sentences
from streams.exits import EXIT_FAILED, counted, say

if TYPE_CHECKING:
    from crm_online.log import Record
    from crm_online.settings import Settings

__all__ = ["replay_dead_letters"]

CHUNK: Final = 500
_STANDARD_INPUT: Final = "-"


def replay_dead_letters(
    settings: Settings,
    *,
    places: Sequence[str] = (),
    reason: str | None = None,
    file: Path | None = None,
    force: bool = False,
    json: bool = False,
) -> int:
    """Put dead letters back onto the events topic; returns 1 where one is refused.

    Parameters
    ----------
    settings
        Of the whole program, with the scorer's own bounds on events.
    places
        Such as ``crm.events[3]@17``; or
    reason
        all that were refused for this reason and not yet put back.
    file
        The mended event, for one place; ``-`` is standard input. Without it, the rejected bytes.
    force
        Put back once more what was put back before.
    json
        Print JSON in place of sentences.

    Raises
    ------
    ConfigurationError
        Where it is not clear what to put back.
    BrokerUnavailable
        Where no broker answers.
    """
    if bool(places) == (reason is not None):
        raise ConfigurationError("name the places to put back, or a --reason, and not both")
    check_reason(reason)
    wanted = list(dict.fromkeys(parse_place(each, settings.topic("events")) for each in places))
    if file is not None and len(wanted) != 1:
        raise ConfigurationError("--file holds the mended event of one place: name that place")
    given = None if file is None else _read_file(file)
    if reason is not None:
        report = asyncio.run(_replay_reason(settings, reason, force=force))
        if report is None:
            if json:
                print_json(Report())
            return EXIT_FAILED
    else:
        report = asyncio.run(_replay_places(settings, wanted, given, force=force))
    (print_json if json else print_sentences)(report)
    if report.late:
        say(
            f"{counted(report.late, 'event')} put back may be too late to count: a scorer applies "
            f"none that is more than {settings.allowed_lateness_days:g} days of event time behind "
            "(CRM_ALLOWED_LATENESS_DAYS)"
        )
    return EXIT_FAILED if report.refused else 0


def _read_file(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == _STANDARD_INPUT else file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--file {file} cannot be read: {error.strerror}") from error


async def _replay_places(
    settings: Settings, places: Sequence[Place], given: bytes | None, *, force: bool
) -> Report:
    report = Report()
    async with LetterReader(settings) as reader:
        letters = await reader.letters()
        chosen = []
        for place in places:
            letter = letters.get(place)
            if letter is None:
                report.refused.append((place, _unknown(settings)))
            else:
                chosen.append(letter)
        await _replay(settings, reader, chosen, given, report, force=force)
    return report


async def _replay_reason(settings: Settings, reason: str, *, force: bool) -> Report | None:
    report = Report()
    async with LetterReader(settings) as reader:
        letters = await reader.letters()
        chosen = [each for each in letters.newest_first() if each.reason == reason]
        if not chosen:
            _say_none(letters, reason)
            return None
        pending = [each for each in chosen if force or not each.put_back]
        # As they stood on the log: a customer's events should come in their order.
        pending.sort(key=lambda letter: letter.place)
        await _replay(settings, reader, pending, None, report, force=force)
    return report


async def _replay(
    settings: Settings,
    reader: LetterReader,
    chosen: Sequence[Letter],
    given: bytes | None,
    report: Report,
    *,
    force: bool,
) -> None:
    if not chosen:
        return
    with broker_errors(settings):
        async with putting_back(settings, reader) as writer:
            pending = chosen if force else await _settle(writer, chosen, report)
            for chunk in [pending[at : at + CHUNK] for at in range(0, len(pending), CHUNK)]:
                await _put_back(settings, reader, writer, chunk, given, report)


async def _settle(writer: PutBack, chosen: Sequence[Letter], report: Report) -> list[Letter]:
    """Refuse what was put back, and finish what another run left; returns the rest."""
    landed, gone = await writer.landed([each for each in chosen if not each.put_back])
    recorded, pending = [], []
    for letter in chosen:
        if letter.put_back:
            report.refused.append((letter.place, _ALREADY))
        elif letter.place in landed:
            recorded.append(letter)
        elif letter.place in gone:
            report.refused.append((letter.place, _IN_DOUBT))
        else:
            pending.append(letter)
    await writer.finish(recorded, [each.begun[-1] for each in recorded])
    report.recorded += [each.place for each in recorded]
    return pending


async def _put_back(
    settings: Settings,
    reader: LetterReader,
    writer: PutBack,
    chunk: Sequence[Letter],
    given: bytes | None,
    report: Report,
) -> None:
    now = time.time()
    ready: list[Mended] = []
    missing = {each.place for each in chunk}
    async for letter, record in reader.records(chunk):
        missing.discard(letter.place)
        try:
            ready.append(mend(letter, _bytes(letter, record, given), settings, now))
        except EventRejected as rejection:
            report.refused.append((letter.place, rejection))
    report.refused += [(place, _unknown(settings)) for place in sorted(missing)]
    if ready:
        ready.sort(key=lambda event: event.letter.place)
        await writer.put_back(ready)
    report.put_back += [event.letter.place for event in ready]
    report.late += sum(now - event.at > settings.allowed_lateness_days * DAY for event in ready)


def _bytes(letter: Letter, record: Record, given: bytes | None) -> bytes:
    if given is not None:
        return given
    if letter.truncated:
        raise EventRejected(
            "truncated",
            f"only the first {letter.kept:,} of its {letter.size:,} bytes were kept: give the "
            "whole event, mended, by --file",
        )
    return record.value or b""


_ALREADY: Final = EventRejected(
    "already-put-back", "it was put back before; --force puts it back once more"
)
_IN_DOUBT: Final = EventRejected(
    "in-doubt",
    "a run that was to put it back ended early, and that part of the log is gone, so nobody can "
    "tell whether it did; --force puts it back",
)


def _unknown(settings: Settings) -> EventRejected:
    return EventRejected(
        "no-such-letter",
        "there is no dead letter of this place: see `crm-online dead-letters list`; they are kept "
        f"for {settings.retention_days:g} days",
    )


def _say_none(letters: Letters, reason: str) -> None:
    known = sorted({each.reason for each in letters.newest_first()})
    there = f"the reasons there are: {', '.join(known)}" if known else "there are none at all"
    say(f"there is no dead letter with reason {reason!r}; {there}")
