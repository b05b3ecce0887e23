"""What the dashboard shows, gathered from ``crm.metrics``."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from crm_online.internal import ce_type
from crm_online.metrics import WorkerUpdate
from streams.model_commands.reading import Live

if TYPE_CHECKING:
    from crm_online.log import Record

__all__ = ["Board"]

WINDOW: Final = "last-1000"
SETTLED: Final = {"churn": "auc", "value": "mae", "next_item": "hit_rate"}
POINTS: Final = 300
GONE_SECONDS: Final = 20.0  # a worker that has said nothing for so long has ended

_worker: Final = msgspec.json.Decoder(WorkerUpdate).decode


class _Seen:
    """The newest report of one role of one worker, and its speed since the one before."""

    def __init__(self, update: WorkerUpdate) -> None:
        self.update = update
        self.per_second = 0.0

    def renew(self, update: WorkerUpdate) -> None:
        seconds = (update.at - self.update.at).total_seconds()
        if seconds > 0.0:
            self.per_second = max(update.consumed - self.update.consumed, 0) / seconds
        self.update = update


class Board:
    """Keeps the newest of everything, and some of how it came to that."""

    def __init__(self) -> None:
        self._live = Live()
        self._workers: dict[tuple[str, str], _Seen] = {}
        self._rates: deque[tuple[float, float]] = deque(maxlen=POINTS)
        self._curves: defaultdict[str, deque[dict[str, Any]]] = defaultdict(
            lambda: deque(maxlen=POINTS)
        )

    def apply(self, records: Sequence[Record]) -> None:
        """Take records of the topic, in order."""
        self._live.apply(records)
        for record in records:
            if record.value is None:
                continue
            kind = ce_type(record)
            if kind == b"crm.worker.updated":
                self._hear(_worker(record.value))
            elif kind == b"crm.quality.updated":
                self._draw(msgspec.json.decode(record.value))

    def figures(self, now: float) -> dict[str, Any]:
        """Return everything, as `streams.web.answers.Figures` without the cache.

        Parameters
        ----------
        now
            Seconds since 1970.
        """
        workers = [seen for seen in self._workers.values() if _age(seen, now) < GONE_SECONDS]
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

    def _hear(self, update: WorkerUpdate) -> None:
        name = update.role, update.worker
        if name in self._workers:
            self._workers[name].renew(update)
        else:
            self._workers[name] = _Seen(update)
        now = update.at.timestamp()
        for other, seen in list(self._workers.items()):
            if _age(seen, now) >= GONE_SECONDS:
                del self._workers[other]
        if update.role == "score":
            self._rates.append((now, _speed(list(self._workers.values()))))

    def _draw(self, update: dict[str, Any]) -> None:
        if update["window"] != WINDOW or update["model"] not in SETTLED:
            return
        figures, points = update["figures"], self._curves[update["model"]]
        if points and points[-1]["at"] == update["at"]:
            points.pop()
        settled = figures.get(SETTLED[update["model"]])
        estimated = figures.get("estimated_auc")
        points.append({"at": update["at"], "settled": settled, "estimated": estimated})


def _summed(counts: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    summed: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in counts:
        for first, seconds in each.items():
            summed[first].update(seconds)
    return {first: dict(seconds) for first, seconds in summed.items()}


def _age(seen: _Seen, now: float) -> float:
    return now - seen.update.at.timestamp()


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
