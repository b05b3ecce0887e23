"""Writes scores, lists and actions, and keeps the sets that marketing pages through."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from redis.asyncio import Redis

from crm_online.decoding import SCHEMA_VERSION, RecordDecoder
from crm_online.errors import EventRejected
from crm_online.log import Message, Record
from crm_online.scores import Source
from crm_online.settings import Settings
from crm_online.sinks.redis.connection import RETRIES, SCRIPT_SHA, Command, Link
from crm_online.sinks.redis.keys import Keys
from crm_online.sinks.redis.sets import Done, Sets

__all__ = ["CacheWriter", "Written"]

HISTORY: Final = 50
REMOVED_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
ROUNDS: Final = 5
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


class _Pending:
    """What a batch holds of one customer: arguments of the script, and where they lead."""

    __slots__ = ("arguments", "newest", "risk", "segment")

    def __init__(self) -> None:
        self.arguments: list[bytes | str] = []
        self.newest = _OLDEST
        self.segment = self.risk = ""

    def score(self, value: bytes, read: _Scored, segment: str, risk: str) -> None:
        source = read.source
        order = (source.epoch, source.offset, source.step, source.due, source.index)
        if order >= self.newest:
            self.newest, self.segment, self.risk = order, segment, risk
        self.arguments += "1", value, segment, risk


class CacheWriter:
    """Writes batches of ``crm.scores``, ``crm.recommendations`` and ``crm.actions`` into Redis.

    1. Per customer one atomic call compares, stores and keeps the histories. It says where the
       customer belongs, and notes beside the values which sets they are still to be taken from.
    2. A second round trip changes the sets, which live in other cluster slots.
    3. A third crosses off that note, for the few customers who moved, unless a newer write came
       in between; then 2 and 3 are repeated.

    If the process dies in between, the note remains, and the record's redelivery, or any later
    write, does the rest. All of it may be repeated. What a writer paused before step 2 adds too
    late is a member that the readers take out again.

    Parameters
    ----------
    settings
        `app`, `cache_ttl_days`, `at_risk_probability`.
    client
        From `connect`.
    retries
        Attempts after the first, with exponential backoff and jitter.
    """

    def __init__(self, settings: Settings, client: Redis, *, retries: int = RETRIES) -> None:
        self._keys = Keys(settings.app)
        self._link = Link(client, retries)
        self._ttl = max(1, round(settings.cache_ttl_days * DAY_MS))
        self._at_risk_probability = settings.at_risk_probability
        self.moves: Counter[tuple[str, str]] = Counter()  # between segments, by us
        self._fixed = (self._ttl, HISTORY, min(self._ttl, REMOVED_MS), self._keys.at_risk)

    async def write(
        self,
        scores: Sequence[Message | Record] = (),
        recommendations: Sequence[Message | Record] = (),
        actions: Sequence[Message | Record] = (),
    ) -> Written:
        """Write one batch; when it returns, all of it is in the cache.

        Parameters
        ----------
        scores, recommendations, actions
            Records of the three topics, in any order, repeated at will. A tombstone of scores
            removes the customer from everything, one of recommendations their list. If a
            tombstone's ``source`` header (JSON, `scores.Source`) says where in the log it
            comes from, what is newer stays.

        Raises
        ------
        SinkUnavailable
            Where Redis did not take the batch within the retries; write it again later.
        ConfigurationError
            Where Redis refuses the credentials, the user or the certificate.
        SnapshotError
            Where a newer version of the program wrote a record.
        """
        batch = _Batch(self._keys, self._at_risk_probability)
        batch.add_all(SCORES, scores)
        batch.add_all(RECOMMENDATIONS, recommendations)
        batch.add_all(ACTIONS, actions)
        calls = [self._call(each, ("", ""), held.arguments) for each, held in batch.pending.items()]
        replies = await self._link.send(calls) if calls else []
        sets = Sets(self._keys, self._ttl)
        for (customer, held), reply in zip(batch.pending.items(), replies, strict=True):
            if reply == 1:
                sets.place(customer, held.segment, held.risk)
            elif reply != 0:
                sets.move(customer, reply)
                self._count_move(reply)
        await self._settle(sets)
        return batch.written()

    async def _settle(self, sets: Sets) -> None:
        for _ in range(ROUNDS):
            commands = sets.commands()
            if commands:
                await self._link.send(commands)
            if not sets.moved:
                return
            moved = sets.moved
            replies = await self._link.send(
                [self._call(customer, done, ()) for customer, done in moved.items()]
            )
            sets = Sets(self._keys, self._ttl)
            for customer, reply in zip(moved, replies, strict=True):
                if isinstance(reply, list):
                    sets.move(customer, reply)

    def _count_move(self, reply: list[Any]) -> None:
        """Count where a customer has come from: of the sets they are to leave, the last."""
        _, segment, _, *left = reply
        before = [key for each in left if (key := each.decode()) != self._keys.at_risk]
        if segment and before:
            names = before[-1], segment.decode()
            self.moves[self._keys.segment_name(names[0]), self._keys.segment_name(names[1])] += 1

    def _call(self, customer: str, done: Done, arguments: Sequence[bytes | str]) -> Command:
        keys = self._keys.of_customer(customer)
        return "EVALSHA", SCRIPT_SHA, len(keys), *keys, *self._fixed, *done, *arguments


class _Batch:
    """Sorts the records of a batch by customer."""

    def __init__(self, keys: Keys, at_risk_probability: float) -> None:
        self.pending: defaultdict[str, _Pending] = defaultdict(_Pending)
        self._keys = keys
        self._threshold = at_risk_probability
        self._records = self._ticks = self._removed = 0
        self._rejected: list[tuple[Message | Record, EventRejected]] = []

    def written(self) -> Written:
        return Written(self._records, len(self.pending), self._ticks, self._removed, self._rejected)

    def add_all(self, kind: int, records: Sequence[Message | Record]) -> None:
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
