"""Restores the state of partitions from their compacted topic, before their first event."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Final

from crm_online.errors import BrokerUnavailable, ConfigurationError, SnapshotError
from crm_online.log import Machine, Message, Origin, Restore
from streams.admin import Admin
from streams.bulk import BulkReader
from streams.deliveries import Place
from streams.guard import followed

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Restored", "restore"]

REPORT_SECONDS: Final = 5.0
ABSENT_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore came to.

    Parameters
    ----------
    starts
        Partition to the offset of the source topic to go on from.
    records
        How many records of the state topic were read.
    seconds
        How long it took.
    read
        Topic and partition to the offset up to which nothing stale stands there: the state topic's
        end, and what the owner before us had followed.
    overtaken
        Partition to what must be written again over older records.
    """

    starts: dict[int, int]
    records: int
    seconds: float
    read: dict[Place, int] = field(default_factory=dict)
    overtaken: dict[int, list[Message]] = field(default_factory=dict)


async def restore(
    partitions: Collection[int],
    machine: Machine,
    settings: Settings,
    *,
    source: str,
    state: str,
    wanted: Callable[[], bool] = lambda: True,
    report: Callable[[int, int], None] = lambda _records, _left: None,
) -> Restored | None:
    """Read back the state of partitions, all of them together.

    Parameters
    ----------
    partitions
        Of the state topic and the source topic alike.
    machine
        Its state of these partitions is replaced.
    settings
        Where Kafka is.
    source, state
        Names of the log and of the compacted topic.
    wanted
        Asked now and then; once it is false the restore is given up.
    report
        Told the records read so far, and the offsets that are left.

    Returns
    -------
    Restored or None
        ``None`` where it was given up.

    Raises
    ------
    SnapshotError
        Where the state was made from another topic, or stands at an offset that the source topic
        does not hold.
    ConfigurationError
        Where there is no source topic.
    BrokerUnavailable
        Where Kafka does not answer.
    """
    if not partitions:
        return Restored({}, 0, 0.0)
    restores = {partition: machine.restore(partition) for partition in sorted(partitions)}
    given_up = Event()
    reading = _Reading(settings, source, state, restores, report)
    work = asyncio.ensure_future(
        asyncio.to_thread(reading.run, lambda: wanted() and not given_up.is_set())
    )
    try:
        return await asyncio.shield(work)
    finally:  # whoever is cancelled here leaves no thread behind that fills what is dropped
        given_up.set()
        await asyncio.wait([work])


class _Reading:
    def __init__(
        self,
        settings: Settings,
        source: str,
        state: str,
        restores: Mapping[int, Restore],
        report: Callable[[int, int], None],
    ) -> None:
        self._settings = settings
        self._source = source
        self._state = state
        self._restores = restores
        self._tell = report
        self._records = 0
        self._ends = dict.fromkeys(restores, 0)
        self._began = self._reported = time.monotonic()

    def run(self, wanted: Callable[[], bool]) -> Restored | None:
        """Do all of it; the machine's restores belong to this thread meanwhile."""
        admin = Admin(self._settings)
        origin = _origin(admin, self._source, self._state)
        if self._is_there(admin, wanted):
            self._ends = admin.ends(self._state, self._restores)
            self._read(admin.begins(self._state, self._restores), wanted)
        if not wanted():
            return None
        starts = {partition: each.finish(origin) for partition, each in self._restores.items()}
        starts = _check(admin, self._source, self._state, starts)
        overtaken = {partition: each.overtaken() for partition, each in self._restores.items()}
        seconds = time.monotonic() - self._began
        return Restored(starts, self._records, seconds, self._followed(), overtaken)

    def _read(self, begins: Mapping[int, int], wanted: Callable[[], bool]) -> None:
        spans = {partition: (begins[partition], end) for partition, end in self._ends.items()}
        with BulkReader(self._settings, self._state, spans) as reader:
            while reader.left and wanted():
                for partition, records in reader.read().items():
                    self._records += self._restores[partition].apply(records)
                self._report(reader.left)

    def _followed(self) -> dict[Place, int]:
        """Return up to where nothing stale stands, by topic and partition."""
        found = {(self._state, partition): end for partition, end in self._ends.items()}
        for partition, restore in self._restores.items():
            found |= followed(restore.remarks(), partition)
        return found

    def _is_there(self, admin: Admin, wanted: Callable[[], bool]) -> bool:
        while self._state not in admin.partitions():
            if not self._settings.declare_topics:
                _log.warning("%s does not exist: every state begins empty", self._state)
                return False
            if time.monotonic() - self._began > ABSENT_SECONDS:
                raise BrokerUnavailable(
                    f"{self._state} does not exist: create it with `crm-online topics`"
                )
            if not wanted():
                return False
            # A broker hears of a new topic a little later than the controller that made it.
            time.sleep(ABSENT_SECONDS / 50)
        return True

    def _report(self, left: int) -> None:
        self._tell(self._records, left)
        now = time.monotonic()
        if now - self._reported < REPORT_SECONDS or not left or not self._records:
            return
        self._reported = now
        rate = self._records / (now - self._began)
        _log.info(
            "restoring %s: %d records, %d/s, at most %d s left",
            self._state,
            self._records,
            rate,
            left / max(rate, 1.0),
        )


def _check(admin: Admin, source: str, state: str, starts: dict[int, int]) -> dict[int, int]:
    lows, ends = admin.begins(source, starts), admin.ends(source, starts)
    found = {}
    for partition, start in starts.items():
        low, end = lows[partition], ends[partition]
        where = f"{source}[{partition}]@{start}"
        if start > end:
            raise SnapshotError(
                f"{state} says to go on at {where}, but that log ends at {end}: it is not the log "
                "the state was made from, or has lost its end; stop all workers and run "
                "`crm-online adopt` to go on with the state, or `crm-online reset` to compute it "
                "anew"
            )
        if 0 < start < low:
            raise SnapshotError(
                f"{state} says to go on at {where}, but retention has removed all before {low}: "
                f"{low - start} records were never applied; stop all workers and run `crm-online "
                "adopt` to go on without them, and raise CRM_RETENTION_DAYS and retention.ms of "
                f"{source}"
            )
        found[partition] = max(start, low)
    return found


def _origin(admin: Admin, source: str, state: str) -> Origin:
    """Say which log is there; its partitions and those of the state must be as many."""
    origin = admin.origin(source)
    if not origin.partitions:
        raise ConfigurationError(
            f"{source} does not exist: create it with `crm-online topics`, or correct CRM_APP"
        )
    kept = admin.partitions().get(state, (origin.partitions, 0))[0]
    if kept != origin.partitions:
        raise SnapshotError(
            f"{source} has {origin.partitions} partitions and {state} has {kept}: partitions were "
            f"added; set CRM_PARTITIONS={origin.partitions}, stop all workers and run `crm-online "
            "adopt`"
        )
    return origin
