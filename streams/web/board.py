"""What the dashboard shows, gathered from ``crm.metrics``."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from crm_online.internal import ce_type
from crm_online.metrics import QualityUpdate, WorkerUpdate
from streams.model_commands.reading import Live

if TYPE_CHECKING:
    from crm_online.log import Record

__all__ = ["Board"]

WINDOW: Final = "last-1000"
SETTLED: Final = {"churn": "auc", "value": "mae", "next_item": "hit_rate"}
POINTS: Final = 300
GONE_SECONDS: Final = 20.0  # a worker that has said nothing for so long has ended
GONE_REPORTS: Final = 10  # or for so many of another: as long, told without anybody's clock

_worker: Final = msgspec.json.Decoder(WorkerUpdate).decode
_quality: Final = msgspec.json.Decoder(QualityUpdate).decode
_log = structlog.get_logger(__name__)

_Name = tuple[str, str]  # role and worker


class _Seen:
    """The newest report of one role of one worker, and its speed since the one before."""

    def __init__(self, update: WorkerUpdate, heard: float) -> None:
        self.update = update
        self.per_second = 0.0
        self._heard = heard
        self._since: Counter[_Name] = Counter()

    def renew(self, update: WorkerUpdate, heard: float) -> None:
        seconds = update.at.timestamp() - self.update.at.timestamp()
        if seconds > 0.0:
            self.per_second = max(update.consumed - self.update.consumed, 0) / seconds
        self.update, self._heard = update, heard
        self._since.clear()

    def outlived(self, other: _Name) -> bool:
        """Take notice of another's report: whether it has made too many since ours."""
        self._since[other] += 1
        return self._since[other] >= GONE_REPORTS

    def silent(self, now: float) -> bool:
        return now - self._heard >= GONE_SECONDS


class Board:
    """Keeps the newest of everything, and some of how it came to that.

    How old a report is goes by when it was heard: workers' clocks differ.

    Parameters
    ----------
    clock
        Tells the present, seconds since 1970.
    unreadable
        Called for each record that this version cannot read; it is passed over, as a newer worker
        may have written it.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        unreadable: Callable[[], object] = lambda: None,
    ) -> None:
        self._clock = clock
        self._unreadable = unreadable
        self._complained = False
        self._live = Live()
        self._workers: dict[_Name, _Seen] = {}
        self._rates: deque[tuple[float, float]] = deque(maxlen=POINTS)
        self._curves: defaultdict[str, deque[dict[str, Any]]] = defaultdict(
            lambda: deque(maxlen=POINTS)
        )

    def apply(self, records: Sequence[Record]) -> None:
        """Take records of the topic, in order."""
        for record in records:
            try:
                self._take(record)
            except (msgspec.MsgspecError, OverflowError, ValueError) as error:
                self._unreadable()
                if not self._complained:
                    self._complained = True
                    _log.warning(
                        "a record of live metrics is none that this version reads",
                        offset=record.offset,
                        reason=str(error),
                    )

    def figures(self) -> dict[str, Any]:
        """Return everything, as `streams.web.answers.Figures` without the cache."""
        now = self._clock()
        workers = [seen for seen in self._workers.values() if not seen.silent(now)]
        rejected: Counter[str] = Counter()
        for seen in workers:
            rejected.update(seen.update.rejected)
        return {
            "events_per_second": _speed(workers),
            "rates": list(self._rates),
            "workers": [_worker_figures(seen) for seen in workers],
            "quality": [msgspec.to_builtins(each) for each in self._live.quality.values()],
            "curves": {model: list(points) for model, points in self._curves.items()},
            "drift": msgspec.to_builtins(self._live.drift),
            "contests": [msgspec.to_builtins(each) for each in self._live.contests.values()],
            "dead_letters": dict(rejected),
            "moves": _summed(seen.update.moves for seen in workers),
            "actions": _summed(seen.update.actions for seen in workers),
            "uplift": [msgspec.to_builtins(each) for each in self._live.uplift.values()],
        }

    def _take(self, record: Record) -> None:
        if record.value is None:
            return
        kind = ce_type(record)
        if kind == b"crm.worker.updated":
            self._hear(_worker(record.value))
            return
        self._live.take(record)
        if kind == b"crm.quality.updated":
            self._draw(_quality(record.value))

    def _hear(self, update: WorkerUpdate) -> None:
        now, name = self._clock(), (update.role, update.worker)
        for other, seen in list(self._workers.items()):
            if other != name and (seen.outlived(name) or seen.silent(now)):
                del self._workers[other]
        if name in self._workers:
            self._workers[name].renew(update, now)
        else:
            self._workers[name] = _Seen(update, now)
        if update.role == "score":
            # By the worker's clock, for what is read back of the past: never back, nor ahead of us.
            last = self._rates[-1][0] if self._rates else -math.inf
            at = max(min(update.at.timestamp(), now), last)
            self._rates.append((at, _speed(list(self._workers.values()))))

    def _draw(self, update: QualityUpdate) -> None:
        if update.window != WINDOW or update.model not in SETTLED:
            return
        points, at = self._curves[update.model], msgspec.to_builtins(update.at)
        if points and points[-1]["at"] == at:
            points.pop()
        settled = update.figures.get(SETTLED[update.model])
        estimated = update.figures.get("estimated_auc")
        points.append({"at": at, "settled": settled, "estimated": estimated})


def _summed(counts: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    summed: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in counts:
        for first, seconds in each.items():
            summed[first].update(seconds)
    return {first: dict(seconds) for first, seconds in summed.items()}


def _speed(workers: Sequence[_Seen]) -> float:
    return sum(seen.per_second for seen in workers if seen.update.role == "score")


def _worker_figures(seen: _Seen) -> dict[str, Any]:
    update = seen.update
    return {
        "role": update.role,
        "worker": update.worker,
        "state": update.state,
        "events_per_second": seen.per_second,
        "lag": update.lag,
    }
