"""Published scores and opened predictions beside what the log says they were made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from crm_online.cloudevents import utc
from crm_online.customers.features import FEATURES, natural_many
from crm_online.customers.predictions import prediction_id
from crm_online.internal import ce_type
from crm_online.log import Record
from crm_online.retracing import RFM, Retraced
from crm_online.scores import Opened, Source
from crm_online.slices import Moment

__all__ = ["Comparison", "Consistency"]

CLOSE: Final = 1e-9  # floats, relative to the larger one above 1
EXAMPLES: Final = 20
REASON_DECIMALS: Final = 4
_POSITION: Final = {name: number for number, name in enumerate(FEATURES)}


class _Reason(msgspec.Struct, gc=False):
    feature: str
    value: float


class _Score(msgspec.Struct, gc=False):
    score_id: str
    customer_id: str
    at: datetime
    cause: str
    source: Source
    churn_reasons: list[_Reason]
    orders: int
    spend: float
    refunds: float
    first_seen_at: datetime | None = None
    last_activity_at: datetime | None = None


_score: Final = msgspec.json.Decoder(_Score).decode
_opened: Final = msgspec.json.Decoder(Opened).decode

Place = tuple[int, int, float, str]  # offset, step, due, customer


class _Row(NamedTuple):
    moment: Moment
    features: NDArray[np.float64]


@dataclass(slots=True)
class Comparison:
    """How many records of one kind were compared, and what differs.

    Parameters
    ----------
    compared
        Records that stand on the topic and follow from the log.
    unexplained
        Records that stand there and do not follow from it.
    different
        Records of which a field differs.
    differences
        A sentence on each of the first of both.
    """

    compared: int = 0
    unexplained: int = 0
    different: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether nothing differs."""
        return not (self.unexplained or self.different)

    def blame(self, name: str, differing: Sequence[str]) -> None:
        """Take note of one record."""
        self.compared += 1
        self.different += bool(differing)
        if differing:
            self._tell(f"{name} has {', '.join(differing)}")

    def not_explain(self, name: str) -> None:
        """Take note of a record that does not follow from the log."""
        self.unexplained += 1
        self._tell(f"{name} does not follow from the log")

    def _tell(self, sentence: str) -> None:
        if len(self.differences) < EXAMPLES:
            self.differences.append(sentence)


class Consistency:
    """Compares what stands on the topics with a log that was read anew.

    Scores of one partition are compared once its log is known, opened predictions once all are.
    """

    def __init__(self) -> None:
        self.scores = Comparison()
        self.predictions = Comparison()
        self._rows: dict[Place, _Row] = {}
        self._opened: dict[str, tuple[NDArray[np.float64], tuple[float, ...]]] = {}
        self._end: dict[int, int] = {}

    def know(self, partition: int, part: Retraced) -> None:
        """Take what a part of the log came to."""
        for row, moment in enumerate(part.moments):
            source = moment.source
            place = source.offset, source.step, source.due, moment.customer
            self._rows[place] = _Row(moment, part.features[row])
            self._end[partition] = source.offset
        for row, prediction in part.opened:
            name = prediction_id(part.moments[row].customer, prediction.opened)
            self._opened[name] = part.features[row], tuple(part.rfm[row].tolist())

    def see_scores(self, partition: int, records: Sequence[Record]) -> None:
        """Compare records of a partition of the scores topic, repeats too; rescorings are not."""
        for record in records:
            if record.value is None or ce_type(record) != b"crm.score.updated":
                continue
            read = _score(record.value)
            source = read.source
            if source.partition != partition or source.offset > self._end.get(partition, -1):
                continue  # of events that came since
            if read.cause == "rescoring":
                continue
            row = self._rows.get((source.offset, source.step, source.due, read.customer_id))
            name = f"the score of {read.customer_id} at {partition}/{source.offset}"
            if row is None:
                self.scores.not_explain(name)
            else:
                self.scores.blame(name, list(_differing_score(read, row)))

    def forget(self) -> None:
        """Drop the scores of a partition that is done with."""
        self._rows.clear()

    def see_outcomes(self, records: Sequence[Record]) -> None:
        """Compare records of the outcomes topic."""
        for record in records:
            if ce_type(record) != b"crm.prediction.opened":
                continue
            read = _opened(record.value or b"")
            if read.source.offset > self._end.get(read.source.partition, -1):
                continue
            expected = self._opened.get(read.prediction_id)
            name = f"the prediction {read.prediction_id} of {read.customer_id}"
            if expected is None:
                self.predictions.not_explain(name)
                continue
            features, rfm = expected
            wanted = dict(zip(FEATURES, features.tolist(), strict=True))
            wanted |= dict(zip(RFM, rfm, strict=True))
            found = read.features | dict(zip(RFM, read.rfm, strict=True))
            self.predictions.blame(name, list(_differing(wanted, found)))


def _differing_score(read: _Score, row: _Row) -> Iterator[str]:
    moment = row.moment
    active = moment.last_activity
    wanted: dict[str, Any] = {
        "orders": moment.orders,
        "spend": moment.spend / 100.0,
        "refunds": moment.refunds / 100.0,
        "at": utc(moment.at),
        "cause": moment.cause,
        "first_seen_at": utc(moment.first_seen),
        "last_activity_at": utc(active) if active else None,
    }
    yield from _differing(wanted, {name: getattr(read, name) for name in wanted})
    reasons = {reason.feature: reason.value for reason in read.churn_reasons}
    if reasons:
        columns = np.array([[_POSITION.get(name, 0) for name in reasons]])
        natural = np.round(natural_many(columns, row.features[columns]), REASON_DECIMALS)
        yield from _differing(dict(zip(reasons, natural[0].tolist(), strict=True)), reasons)


def _differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for name, value in wanted.items():
        other = found.get(name)
        same = value == other
        if not same and isinstance(value, float) and isinstance(other, float):
            same = abs(value - other) <= CLOSE * max(1.0, abs(value), abs(other))
        if not same:
            yield f"{name} {other} for {value}"
