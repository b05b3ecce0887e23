"""Writes scores, lists and actions, and keeps the sets that marketing pages through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis

from crm_online.log import Message, Record
from crm_online.settings import Settings
from crm_online.sinks.redis.batch import ACTIONS, RECOMMENDATIONS, SCORES, Batch, Written
from crm_online.sinks.redis.connection import RETRIES, SCRIPT_SHA, Command, Link
from crm_online.sinks.redis.keys import Keys
from crm_online.sinks.redis.sets import Done, Sets

__all__ = ["CacheWriter"]

HISTORY: Final = 50
REMOVED_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
ROUNDS: Final = 5


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
        # From the segment before a call to the one after it; where the answer is lost, not counted.
        self.moves: Counter[tuple[str, str]] = Counter()
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
        batch = Batch(self._keys, self._at_risk_probability)
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
        """Count who is in another segment than before the call; what is left to do says nothing."""
        _, segment, _, before, *_ = reply
        if segment and before and segment != before:
            name = self._keys.segment_name
            self.moves[name(before.decode()), name(segment.decode())] += 1

    def _call(self, customer: str, done: Done, arguments: Sequence[bytes | str]) -> Command:
        keys = self._keys.of_customer(customer)
        return "EVALSHA", SCRIPT_SHA, len(keys), *keys, *self._fixed, *done, *arguments
