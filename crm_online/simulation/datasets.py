"""Files of history as events: one reader for all formats, with a report of what it left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from crm_online.errors import ConfigurationError
from crm_online.simulation.columns import ColumnMap, column_events
from crm_online.simulation.notes import Notes
from crm_online.simulation.raw import RawEvent
from crm_online.simulation.retail import invoice_events
from crm_online.simulation.segment import segment_events
from crm_online.simulation.shop_logs import click_events, rees46_events
from crm_online.simulation.source import Source

__all__ = ["FORMATS", "Dataset", "ReadReport", "open_dataset"]

FORMATS = ("segment", "online-retail", "rees46", "clicks", "csv")


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What a reader has seen so far.

    Parameters
    ----------
    rows
        Rows (or lines) of data read, the header not counted.
    events
        Events given out.
    skipped
        Rows left out, by reason.
    examples
        The first few line numbers of each reason.
    noticed
        What is odd about rows, to how many; empty unless notes were taken.
    """

    rows: int
    events: int
    skipped: Mapping[str, int]
    examples: Mapping[str, tuple[int, ...]]
    noticed: Mapping[str, int]


class Dataset:
    """One file as a stream of raw events, in file order; online-retail in order of time.

    No line is fatal: what cannot be used is counted by reason, with line numbers. A file whose
    encoding or columns are of no use at all is refused.

    Parameters
    ----------
    source
        The file.
    read
        Turns it into events.
    whole_first
        The reader reads the whole file before its first event, so progress counts events.
    """

    def __init__(
        self, source: Source, read: Callable[[Source], Iterator[RawEvent]], *, whole_first: bool
    ) -> None:
        self._source = source
        self._read = read
        self._whole_first = whole_first
        self._events = 0
        self._events_total = 0

    def __iter__(self) -> Iterator[RawEvent]:
        """Read the file; once per `Dataset`, since its counters belong to one reading."""
        if self._source.rows:
            raise ConfigurationError("a Dataset is read once; open another one")
        events = self._read(self._source)
        if self._whole_first:
            whole = list(events)
            self._events_total = len(whole)
            events = iter(whole)
        for event in events:
            self._events += 1
            yield event

    def take_notes(self) -> None:
        """Have odd rows counted as well; before it is read."""
        self._source.notes = Notes()

    @property
    def progress(self) -> float:
        """Share of the work that is done, 0 to 1: of events where they are known, else of bytes."""
        if self._whole_first:
            return self._events / self._events_total if self._events_total else 0.0
        return min(1.0, self._source.bytes_read / max(1, self._source.bytes_total))

    @property
    def report(self) -> ReadReport:
        """The counters as of now."""
        source = self._source
        return ReadReport(
            rows=source.rows,
            events=self._events,
            skipped=MappingProxyType(dict(source.skipped)),
            examples=MappingProxyType({why: tuple(n) for why, n in source.examples.items()}),
            noticed=MappingProxyType(dict(source.notes.rows() if source.notes else {})),
        )


def open_dataset(
    path: Path,
    format: str,  # noqa: A002 - the command line's word for it
    *,
    columns: ColumnMap | None = None,
    pass_damaged: bool = False,
) -> Dataset:
    """Open a file of history.

    Parameters
    ----------
    path
        The file; ``.gz`` is unpacked on the way.
    format
        ``"segment"``: one Segment-spec event per line, passed on byte for byte.
        ``"online-retail"``: invoice lines of the UCI sets Online Retail and Online Retail II.
        ``"rees46"``: shop events of REES46. ``"clicks"``: session, item and time, as YooChoose.
        ``"csv"``: any table, by `columns`.
    columns
        Which column is what; needed for ``"csv"`` and for no other format.
    pass_damaged
        Of ``"segment"``: pass on lines that are not events, under the customer ``""`` and the
        time of the line before, so that they become dead letters; else they are skipped.

    Raises
    ------
    ConfigurationError
        Where there is no such file or format, or `columns` does not fit the format.

    Examples
    --------
    >>> open_dataset(Path("no-such-file"), "segment")
    Traceback (most recent call last):
        ...
    crm_online.errors.ConfigurationError: no file at no-such-file
    """
    if (format == "csv") != (columns is not None):
        raise ConfigurationError("format csv, and no other, needs its columns named")
    readers: dict[str, Callable[[Source], Iterator[RawEvent]]] = {
        "segment": partial(segment_events, pass_damaged=pass_damaged),
        "online-retail": invoice_events,
        "rees46": rees46_events,
        "clicks": click_events,
        "csv": partial(column_events, columns=columns or ColumnMap("", "")),
    }
    if format not in readers:
        raise ConfigurationError(f"unknown format {format!r}; there are: {', '.join(FORMATS)}")
    return Dataset(Source(path), readers[format], whole_first=format == "online-retail")
