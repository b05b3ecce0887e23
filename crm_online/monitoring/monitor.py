"""Live quality: all that is known of how well models do, as a function of the outcomes alone."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from math import log, nan
from typing import Any, Final

import numpy as np

from crm_online.monitoring.drift import Alarm, MeanDrift, Shift, affected
from crm_online.monitoring.estimated import OpenScores
from crm_online.monitoring.windows import Recent
from crm_online.scores import NextItemOutcome, Opened, Outcome, Settled

__all__ = ["SCORES", "Monitor"]

SCORES: Final = ("churn_probability", "expected_value")
REMEMBERED: Final = 50
EXPLAINED: Final = 1_000  # settled predictions whose features are kept, to name one by
LEAST_CHANCE: Final = 0.01
LARGEST_LOSS: Final = 4.605170185988091  # -log(LEAST_CHANCE)
_HASHED: Final = 8


class Monitor:
    """Windows of quality, scores that await their labels, and alarms; constant memory.

    Outcomes are collected by `learn_one` and taken in together by `settle`; batches leave no trace.

    Parameters
    ----------
    interval
        Of predictions, seconds.
    """

    def __init__(self, interval: float) -> None:
        self.at: datetime | None = None
        self.churn = Recent(2)
        self.value = Recent(2)
        self.lists = Recent(1)
        self.open = OpenScores()
        self.shift = Shift(interval)
        self.loss = MeanDrift(best=0.0)
        self.bias = MeanDrift(best=0.5)  # of label less chance, moved between 0 and 1
        self.alarms: list[Alarm] = []
        self._explained: deque[tuple[dict[str, float], float, float]] = deque(maxlen=EXPLAINED)
        self._clear()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what waits for `settle`: there is nothing between two batches."""
        return {name: value for name, value in self.__dict__.items() if name[:5] != "_new_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.__dict__.update(state)
        self._clear()

    def _clear(self) -> None:
        self._new_opened: list[tuple[int, Opened]] = []
        self._new_settled: list[tuple[int, Settled]] = []
        self._new_ranks: list[tuple[float]] = []
        self._new_alarms: list[Alarm] = []

    def learn_one(self, outcome: Outcome, offset: int) -> None:
        """Take note of one outcome, until the batch ends."""
        kind = type(outcome)
        if kind is Opened:
            self._new_opened.append((offset, outcome))  # type: ignore[arg-type]
        elif kind is Settled:
            self._new_settled.append((offset, outcome))  # type: ignore[arg-type]
        elif isinstance(outcome, NextItemOutcome):
            rank = outcome.rank
            self._new_ranks.append((1.0 / rank if rank else 0.0,))

    def settle(self) -> None:
        """Take in what was collected; to be called at the end of each batch."""
        if self._new_ranks:
            self.lists.add(self._new_ranks)
        if self._new_opened:
            self._take_opened()
        if self._new_settled:
            self._take_settled()
        if self._new_alarms:  # found kind by kind: log order is the same whatever the batches
            found = sorted(self._new_alarms, key=lambda alarm: alarm.offset)
            self.alarms = [*self.alarms, *found][-REMEMBERED:]
        self._clear()

    def _take_opened(self) -> None:
        chances = [o.churn_probability for _, o in self._new_opened]
        self.open.add([chance for chance in chances if chance is not None])
        for offset, outcome in self._new_opened:
            self._look_at(offset, outcome)
        self.at = self._new_opened[-1][1].opened_at

    def _look_at(self, offset: int, outcome: Opened) -> None:
        hashed = int(outcome.prediction_id[:_HASHED], 16)
        found = self.shift.add(outcome.opened_at.timestamp(), hashed, lambda: _columns(outcome))
        for name, index, usual in found:
            kind = "score" if name in SCORES else "feature"
            self._new_alarms.append(Alarm(kind, name, index, usual, offset, outcome.opened_at))

    def _take_settled(self) -> None:
        settled = self._new_settled
        self.open.add(
            [o.churn_probability for _, o in settled if o.churn_probability is not None], sign=-1
        )
        counted = [(offset, o) for offset, o in settled if not o.late]
        valued = [o for _, o in counted if o.expected_value is not None]
        self.value.add([(o.expected_value or 0.0, o.spend) for o in valued])
        scored = [(offset, o) for offset, o in counted if o.churn_probability is not None]
        self.churn.add([(o.churn_probability or 0.0, float(o.churned)) for _, o in scored])
        explained = self._explained
        for offset, outcome in scored:
            loss, surprise = _loss(outcome), outcome.churned - (outcome.churn_probability or 0.0)
            explained.append((outcome.features, surprise, loss))
            if self.loss.update(loss):
                means = self.loss.mean, self.loss.before
                self._blame("loss", 2, means, self.loss.width, (offset, outcome.due_at))
            if self.bias.update((surprise + 1.0) / 2.0):
                means = 2.0 * self.bias.mean - 1.0, 2.0 * self.bias.before - 1.0
                self._blame("calibration", 1, means, self.bias.width, (offset, outcome.due_at))

    def _blame(
        self,
        kind: str,
        column: int,
        means: tuple[float, float],
        width: int,
        place: tuple[int, datetime],
    ) -> None:
        names = tuple(self._explained[-1][0])
        known = [each for each in self._explained if tuple(each[0]) == names]
        rows = np.array([[*each[0].values()] for each in known])
        numbers = np.array([each[column] for each in known], float)
        name = affected(names, rows, numbers, min(width, len(known) // 2))
        self._new_alarms.append(Alarm(kind, name, *means, *place))


def _loss(outcome: Settled) -> float:
    chance = outcome.churn_probability or 0.0
    likely = chance if outcome.churned else 1.0 - chance
    return -log(max(likely, LEAST_CHANCE)) / LARGEST_LOSS


def _columns(outcome: Opened) -> dict[str, float]:
    chance, spend = outcome.churn_probability, outcome.expected_value
    scores = (nan if chance is None else chance, nan if spend is None else spend)
    return {**outcome.features, **dict(zip(SCORES, scores, strict=True))}
