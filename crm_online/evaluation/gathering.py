"""What a replay published, gathered into arrays: settled predictions, and what customers spent."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from crm_online.customers.predictions import offset_of
from crm_online.errors import ConfigurationError
from crm_online.log import Effects
from crm_online.scores import Settled

__all__ = ["TOO_SHORT", "Flags", "Gathering", "Moments", "Numbers", "Predictions"]

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

TOO_SHORT: Final = (
    "no prediction settled with a number: the history is shorter than two horizons; "
    "give --horizon-days fewer days, or a longer history"
)
_OPENED: Final = b"crm.prediction.opened"
_SETTLED: Final = b"crm.prediction.settled"
_SCORE: Final = b"crm.score.updated"


class _Place(msgspec.Struct, frozen=True, gc=False):
    offset: int
    step: int
    due: float


class _Score(msgspec.Struct, frozen=True, gc=False):
    """What evaluations need of a `ScoreUpdate`."""

    customer_id: str
    at: datetime
    cause: str
    source: _Place
    segment: str
    cluster: int | None
    orders: int
    spend: float


class _Opened(msgspec.Struct, frozen=True, gc=False):
    """What evaluations need of an `Opened`."""

    customer_id: str
    opened_at: datetime
    rfm: tuple[float, float, float]


_opened: Final = msgspec.json.Decoder(_Opened)
_settled: Final = msgspec.json.Decoder(Settled)
_score: Final = msgspec.json.Decoder(_Score)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Settled predictions, in the order their labels came in; row i of all arrays is one.

    Parameters
    ----------
    names
        Of the features.
    features : array of float64, shape (n, f)
        As they stood when the prediction was made.
    customers : array of object, shape (n,)
    opened, due : array of float64, shape (n,)
        When it was made, and when its label was: known to whoever looks later than that.
    offset : array of int64, shape (n,)
        Where the outcome stands on its topic.
    churn_as_of, value_as_of : array of int64, shape (n,)
        Offset of the last outcome that the models had seen which made it; -1 for none.
    chance, value : array of float64, shape (n,)
        As published; NaN where nothing was known yet.
    churned, late : array of bool, shape (n,)
    spend : array of float64, shape (n,)
        Within the horizon, major units.
    """

    names: tuple[str, ...]
    features: Numbers
    customers: NDArray[np.object_]
    opened: Numbers
    due: Numbers
    offset: NDArray[np.int64]
    churn_as_of: NDArray[np.int64]
    value_as_of: NDArray[np.int64]
    chance: Numbers
    value: Numbers
    churned: Flags
    late: Flags
    spend: Numbers

    def __len__(self) -> int:
        return len(self.opened)

    def seasoned(self, outcomes: int) -> Flags:
        """Tell which were made when at least so many labels were known."""
        known = np.searchsorted(np.sort(self.due), self.opened, side="left")
        enough: Flags = known >= outcomes
        return enough


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Every score of the replay, in log order; row i of all arrays is one.

    Parameters
    ----------
    customers, segments : array of object, shape (n,)
    clusters : array of float64, shape (n,)
        NaN before the first.
    at : array of float64, shape (n,)
        Event time.
    timer : array of bool, shape (n,)
        Made by the grid of predictions, not at an event.
    orders, spend : array of float64, shape (n,)
        So far; spend in major units.
    """

    customers: NDArray[np.object_]
    segments: NDArray[np.object_]
    clusters: Numbers
    at: Numbers
    timer: Flags
    orders: Numbers
    spend: Numbers


class Gathering:
    """Keeps what evaluations need of the effects that pass through it.

    Examples
    --------
    >>> gathering = Gathering()
    >>> len(gathering.predictions())
    0
    """

    def __init__(self) -> None:
        self.events = 0
        self.refused = 0
        self._outcomes = count()
        self._settled: list[tuple[int, Settled]] = []
        self._names: tuple[str, ...] = ()
        self._features = array("d")
        self._scores: list[_Score] = []
        self._opened: list[_Opened] = []

    def watch(self, batches: Iterable[Effects]) -> Iterator[Effects]:
        """Pass batches on, and keep what is needed of each."""
        for effects in batches:
            self.events += effects.events
            self.refused += len(effects.outputs.get("dead-letters", ()))
            for message in effects.outputs.get("outcomes", ()):
                offset = next(self._outcomes)
                kind = dict(message.headers).get("ce_type")
                if kind == _SETTLED:
                    self._keep(offset, _settled.decode(message.value or b""))
                elif kind == _OPENED:
                    self._opened.append(_opened.decode(message.value or b""))
            for message in effects.outputs.get("scores", ()):
                if dict(message.headers).get("ce_type") == _SCORE:
                    self._scores.append(_score.decode(message.value or b""))
            yield effects

    def _keep(self, offset: int, settled: Settled) -> None:
        """Keep one; its features apart from it, as a dictionary takes twenty times the room."""
        self._names = self._names or tuple(settled.features)
        self._features.extend([settled.features[name] for name in self._names])
        self._settled.append((offset, msgspec.structs.replace(settled, features={})))

    def predictions(self) -> Predictions:
        """Return the settled predictions."""
        rows = [settled for _, settled in self._settled]
        return Predictions(
            self._names,
            np.array(self._features).reshape(len(rows), len(self._names)),
            np.array([row.customer_id for row in rows], object),
            _numbers(row.opened_at.timestamp() for row in rows),
            _numbers(row.due_at.timestamp() for row in rows),
            np.array([offset for offset, _ in self._settled], np.int64),
            np.array([offset_of(row.models.get("churn", "")) for row in rows], np.int64),
            np.array([offset_of(row.models.get("value", "")) for row in rows], np.int64),
            _numbers(row.churn_probability for row in rows),
            _numbers(row.expected_value for row in rows),
            np.array([row.churned for row in rows], bool),
            np.array([row.late for row in rows], bool),
            _numbers(row.spend for row in rows),
        )

    def require_activity(self, seconds: float) -> None:
        """Refuse a history in which nobody did anything that predictions could begin with.

        Parameters
        ----------
        seconds
            From a customer's first activity to their first prediction.

        Raises
        ------
        ConfigurationError
            Where the scores span more than that, and yet no prediction was opened.
        """
        times = [score.at.timestamp() for score in self._scores]
        if times and not self._opened and max(times) - min(times) > 2.0 * seconds:
            raise ConfigurationError(
                f"no prediction was made for {len({each.customer_id for each in self._scores}):,} "
                "customers: the file holds nothing that they did themselves, such as orders or "
                "visits; refunds are no activity"
            )

    def rfm(self) -> dict[tuple[str, float], tuple[float, float, float]]:
        """Return recency, frequency and money by customer and time of the prediction."""
        return {(row.customer_id, row.opened_at.timestamp()): row.rfm for row in self._opened}

    def moments(self) -> Moments:
        """Return all scores, in log order."""
        rows = sorted(self._scores, key=_order)
        return Moments(
            np.array([row.customer_id for row in rows], object),
            np.array([row.segment for row in rows], object),
            _numbers(row.cluster for row in rows),
            _numbers(row.at.timestamp() for row in rows),
            np.array([row.cause == "timer" for row in rows], bool),
            _numbers(row.orders for row in rows),
            _numbers(row.spend for row in rows),
        )


def _order(row: _Score) -> tuple[int, int, float, str]:
    return row.source.offset, row.source.step, row.source.due, row.customer_id


def _numbers(values: Iterable[float | None]) -> Numbers:
    return np.array([np.nan if value is None else value for value in values], np.float64)
