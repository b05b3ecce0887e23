"""What one batch of records holds for each customer, as arguments of the script."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from crm_online.decoding import SCHEMA_VERSION, RecordDecoder
from crm_online.errors import EventRejected
from crm_online.log import Message, Record
from crm_online.scores import Source
from crm_online.sinks.redis.keys import Keys

__all__ = ["ACTIONS", "RECOMMENDATIONS", "SCORES", "Batch", "Pending", "Written"]

SCORES: Final = 1
RECOMMENDATIONS: Final = 2
ACTIONS: Final = 3

Order = tuple[int, int, int, float, int]
_OLDEST: Final[Order] = (-1, -1, -1, -1.0, -1)


class Written(NamedTuple):
    """What one call of `CacheWriter.write` did.

    Parameters
    ----------
    records, customers
        Records taken, tombstones included, and customers they belong to.
    ticks
        Records of the log's own, skipped.
    removed
        Tombstones among the records.
    rejected
        Unusable records with their reasons; the others of the batch are written.
    """

    records: int
    customers: int
    ticks: int
    removed: int
    rejected: list[tuple[Message | Record, EventRejected]]


class _Scored(msgspec.Struct, gc=False):
    customer_id: str
    source: Source
    segment: str
    churn_probability: float | None
    schema_version: int = SCHEMA_VERSION


class _Named(msgspec.Struct, gc=False):
    customer_id: str
    source: Source
    schema_version: int = SCHEMA_VERSION


_scored: Final[RecordDecoder[_Scored]] = RecordDecoder("scores", _Scored)
_named: Final[dict[int, RecordDecoder[_Named]]] = {
    RECOMMENDATIONS: RecordDecoder("recommendations", _Named),
    ACTIONS: RecordDecoder("actions", _Named),
}
_source = msgspec.json.Decoder(Source).decode


class Pending:
    """What a batch holds of one customer: arguments of the script, and where they lead.

    ``segment`` (its key) and ``risk`` (a probability, or empty) are those of the newest score.
    """

    __slots__ = ("arguments", "newest", "risk", "segment")

    def __init__(self) -> None:
        self.arguments: list[bytes | str] = []
        self.newest = _OLDEST
        self.segment = self.risk = ""

    def score(self, value: bytes, read: _Scored, segment: str, risk: str) -> None:
        """Take a score; the newest of them says where the customer belongs."""
        source = read.source
        order = (source.epoch, source.offset, source.step, source.due, source.index)
        if order >= self.newest:
            self.newest, self.segment, self.risk = order, segment, risk
        self.arguments += "1", value, segment, risk


class Batch:
    """Sorts the records of a batch by customer.

    Parameters
    ----------
    keys
        Names of everything.
    at_risk_probability
        From which on a customer is in the ranking of those at risk.
    """

    def __init__(self, keys: Keys, at_risk_probability: float) -> None:
        self.pending: defaultdict[str, Pending] = defaultdict(Pending)
        self._keys = keys
        self._threshold = at_risk_probability
        self._records = self._ticks = self._removed = 0
        self._rejected: list[tuple[Message | Record, EventRejected]] = []

    def written(self) -> Written:
        """Say what was taken."""
        return Written(self._records, len(self.pending), self._ticks, self._removed, self._rejected)

    def add_all(self, kind: int, records: Sequence[Message | Record]) -> None:
        """Take records of one kind: `SCORES`, `RECOMMENDATIONS` or `ACTIONS`."""
        for record in records:
            key = record.key
            if key is not None and key[:1] == b"\0":
                self._ticks += 1
                continue
            try:
                self._add(kind, key, record)
            except EventRejected as rejection:
                self._rejected.append((record, rejection))
            else:
                self._records += 1

    def _add(self, kind: int, key: bytes | None, record: Message | Record) -> None:
        if not key:
            raise EventRejected("missing-key", "a record for the cache has no customer as its key")
        try:
            customer = key.decode()
            if record.value is None:
                self._remove(kind, customer, record)
            elif kind == SCORES:
                self._score(customer, record.value)
            else:
                self._keep(kind, customer, record.value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise EventRejected(
                "malformed-record", f"a record for the cache is unreadable ({type(error).__name__})"
            ) from None

    def _score(self, customer: str, value: bytes) -> None:
        read = _scored(value)
        _check(customer, read.customer_id)
        probability = read.churn_probability
        at_risk = probability is not None and probability >= self._threshold
        risk = repr(probability) if at_risk else ""
        self.pending[customer].score(value, read, self._keys.segment(read.segment), risk)

    def _keep(self, kind: int, customer: str, value: bytes) -> None:
        _check(customer, _named[kind](value).customer_id)
        self.pending[customer].arguments += str(kind), value, "", ""

    def _remove(self, kind: int, customer: str, record: Message | Record) -> None:
        if kind == ACTIONS:
            raise EventRejected("malformed-record", "an action is not taken back")
        source = dict(record.headers).get("source", b"")
        if source:
            _source(source)
        elif kind == SCORES:
            self.pending[customer].newest = _OLDEST
        self.pending[customer].arguments += f"-{kind}", source, "", ""
        self._removed += 1


def _check(customer: str, named: str) -> None:
    if customer != named:
        raise EventRejected("key-mismatch", "a record's key is not the customer it speaks of")
