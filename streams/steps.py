"""What `replay`, `simulate` and `score` share: a history opened, ordered, counted, reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from crm_online.customers.state import DAY
from crm_online.errors import ConfigurationError
from crm_online.simulation.cells import DAY_BEFORE_MONTH
from crm_online.simulation.columns import ColumnMap
from crm_online.simulation.datasets import Dataset, open_dataset
from crm_online.simulation.ordering import Order
from crm_online.simulation.replay import Send, Step, plan_replay
from crm_online.simulation.silence import Silence
from streams.exits import EXIT_FAILED, counted, say
from streams.progress import Stage

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from crm_online.simulation.raw import RawEvent

__all__ = ["ColumnNames", "History", "date_of", "open_history", "parse_max_ahead"]

_CUT: Final = "damaged-gzip"
_UNDECODABLE: Final = "not-utf8"
_TABLES: Final = frozenset({".csv", ".tsv"})


class ColumnNames(NamedTuple):
    """The columns that the flags of ``--format csv`` name."""

    customer: str | None
    at: str | None
    item: str | None
    amount: str | None
    kind: str | None


class History:
    """A file on its way to be scored or sent, with counters for the progress bar.

    Parameters
    ----------
    dataset
        The file.
    order
        As of `in_time_order`.
    """

    def __init__(self, dataset: Dataset, order: Order) -> None:
        self.dataset = dataset
        self.passed = 0
        self.silence = Silence()
        self._order = order
        self._read = 0
        self._unreadable = 0

    def steps(self, max_ahead_seconds: float | None, settings: Settings) -> Iterator[Step]:
        """Plan the replay, as of `plan_replay`; nothing may leap over all that is remembered."""
        silence = self.silence = Silence(settings.state_ttl_days * DAY)
        for step in plan_replay(self.events(), max_ahead_seconds, self._order, silence=silence):
            self.passed += isinstance(step, Send)
            yield step

    def stage(self, word: str) -> Stage:
        """Tell how far it is; `word` is what is done with events that have been read."""
        if not self.passed:
            return Stage("reading", self.dataset.progress or None)
        return Stage(word, self.dataset.progress * self.passed / self._read)

    def end(self) -> int:
        """Say what was left out, and why; returns the exit code.

        Fails where the file ended too early, leaps in time, has days before months, or no event.
        """
        report = self.dataset.report
        for reason, count in report.skipped.items():
            lines = report.examples.get(reason, ())
            more = ", …" if count > len(lines) else ""
            say(
                f"skipped {counted(count, 'row')}: {reason}, in line {_joined(lines)}{more}",
                style="yellow",
            )
        if _UNDECODABLE in report.skipped:
            say("the file is not UTF-8 but looks like Latin-1 (Windows-1252): save it as UTF-8")
        if DAY_BEFORE_MONTH in report.skipped:
            say(
                "some times have the day before the month; the others were read month first, and "
                "wrongly: write them as 2024-12-31 23:59"
            )
        if self._unreadable:
            say(
                f"{counted(self._unreadable, 'line')} without a customer or a time: no event of "
                "the Segment spec; these become dead letters",
                style="yellow",
            )
        if _CUT in report.skipped:
            say("the file is cut short or damaged: only what stands before that was used")
        if self.empty:
            say("the file holds no event: is --format what it holds?")
        if self.silence.left_out:
            say(_leap(self.silence))
        wrong = (
            self.empty or self.silence.left_out or {_CUT, DAY_BEFORE_MONTH} & set(report.skipped)
        )
        return EXIT_FAILED if wrong else 0

    @property
    def empty(self) -> bool:
        """Whether there was nothing to use."""
        return self._unreadable == self.dataset.report.events

    def events(self) -> Iterator[RawEvent]:
        """Read them in the order of the file."""
        for event in self.dataset:
            self._read += 1
            self._unreadable += not event.customer
            yield event


def open_history(file: Path, format_: str, columns: ColumnNames, order: Order | None) -> History:
    """Open a file of history.

    Parameters
    ----------
    file
        Plain or gzip.
    format_
        One of `crm_online.simulation.datasets.FORMATS`.
    columns
        For ``"csv"``, and only for that; where there are any, ``"segment"`` means ``"csv"``.
    order
        None for what suits the format: a table of unknown origin is sorted as a whole.

    Raises
    ------
    ConfigurationError
        Where the file is none, or the flags do not go with the format.
    """
    if file.is_dir():
        raise ConfigurationError(f"{file} is a folder: name a file")
    if format_ == "csv" or (format_ == "segment" and any(columns)):
        dataset = open_dataset(file, "csv", columns=_column_map(columns))
        return History(dataset, order or "whole")
    if any(columns):
        raise ConfigurationError(
            "--customer, --at, --item, --amount and --kind go with --format csv only"
        )
    dataset = open_dataset(file, format_, pass_damaged=True)
    if format_ == "segment" and _TABLES & set(file.suffixes):
        raise ConfigurationError(
            f"{file.name} looks like a table and not like JSON lines: say by --format what it holds"
        )
    return History(dataset, order or "window")


def parse_max_ahead(text: str | None, settings: Settings) -> float | None:
    """Read days of event time, or ``none``; returns seconds.

    Parameters
    ----------
    text
        Of the flag; None for the setting `max_ahead_days`.
    settings
        Of the whole program.

    Examples
    --------
    >>> from crm_online.settings import Settings
    >>> parse_max_ahead("0.5", Settings()), parse_max_ahead("none", Settings())
    (43200.0, None)
    """
    if text is None:
        return None if settings.max_ahead_days is None else settings.max_ahead_days * DAY
    if text.strip().lower() == "none":
        return None
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0.0 < days < float("inf"):
        raise ConfigurationError("--max-ahead takes days above zero, such as 1 or 0.5, or none")
    return days * DAY


def _column_map(names: ColumnNames) -> ColumnMap:
    if names.customer is None or names.at is None:
        raise ConfigurationError(
            "--format csv needs the names of two columns at least: --customer and --at"
        )
    return ColumnMap(names.customer, names.at, names.item, names.amount, names.kind)


def _leap(silence: Silence) -> str:
    return (
        f"left out {counted(silence.left_out, 'event')}, from {date_of(silence.first)} on: no "
        f"other is later than {date_of(silence.newest)}, and a silence of more than "
        f"{silence.longest / DAY:g} days would settle and forget everything. Correct the wrong "
        "date, or raise CRM_STATE_TTL_DAYS"
    )


def date_of(at: float) -> str:
    """Write a time, in UTC, for people.

    Examples
    --------
    >>> date_of(0.0)
    '1970-01-01 00:00'
    """
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


def _joined(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
