"""Reads the cache: one customer, a segment page by page, those at risk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from redis.asyncio import Redis

from crm_online.settings import Settings
from crm_online.sinks.redis.connection import RETRIES, Command, Link
from crm_online.sinks.redis.keys import Keys

__all__ = ["CacheReader", "Page"]

Fields = dict[str, Any]
Belongs = Callable[[Fields], bool]
_decode: Final = msgspec.json.decode


class Page(NamedTuple):
    """Some score records of a segment, and the cursor of the next page; 0 after the last."""

    customers: list[Fields]
    cursor: int


class CacheReader:
    """Reads what `CacheWriter` wrote.

    Sets hold customers by id and outlive them: members whose scores have expired, or say
    otherwise by now, are skipped and taken out of the set on the way.

    Parameters
    ----------
    settings
        `app`, `at_risk_probability`.
    client
        From `connect`.
    retries
        Attempts after the first; few, as a person waits.
    """

    def __init__(self, settings: Settings, client: Redis, *, retries: int = RETRIES // 2) -> None:
        self._keys = Keys(settings.app)
        self._link = Link(client, retries)
        self._threshold = settings.at_risk_probability

    async def customer(self, customer: str) -> Fields | None:
        """Return everything on one customer, or None where there is nothing.

        Returns
        -------
        ``customer_id``; ``scores`` and ``recommendations``, each the latest record or None;
        ``scores_history`` and ``recommendations_history``, newest first;
        ``expires_in_seconds`` of the scores, or None.

        Raises
        ------
        SinkUnavailable
            Where Redis did not answer within the retries.
        """
        scores, listed, scored, lists, _ = self._keys.of_customer(customer)
        found = await self._link.send(
            [
                ("GET", scores),
                ("GET", listed),
                ("LRANGE", scored, 0, -1),
                ("LRANGE", lists, 0, -1),
                ("PTTL", scores),
            ]
        )
        if found[0] is None and found[1] is None:
            return None
        return {
            "customer_id": customer,
            "scores": found[0] and _decode(found[0]),
            "recommendations": found[1] and _decode(found[1]),
            "scores_history": [_decode(each) for each in found[2]],
            "recommendations_history": [_decode(each) for each in found[3]],
            "expires_in_seconds": found[4] / 1000 if found[4] >= 0 else None,
        }

    async def segment(self, name: str, cursor: int = 0, count: int = 100) -> Page:
        """Return one page of a segment.

        Parameters
        ----------
        name
            Of the segment, such as ``"champions"``.
        cursor
            0 to begin, then what the page before says.
        count
            How many customers, roughly: a page may hold more, fewer or none. Who is in the
            segment all along comes at least once.
        """
        key = self._keys.segment(name)
        ((following, members),) = await self._link.send([("SSCAN", key, cursor, "COUNT", count)])

        def belongs(record: Fields) -> bool:
            return bool(record["segment"] == name)

        kept, stale = await self._look_up(members, belongs)
        await self._take_out(key, stale, belongs)
        return Page(kept, int(following))

    async def at_risk(self, count: int = 100) -> list[Fields]:
        """Return the score records of those most likely to churn, highest first.

        Parameters
        ----------
        count
            How many at most.
        """
        key, kept = self._keys.at_risk, dict[str, Fields]()
        while len(kept) < count:
            (members,) = await self._link.send([("ZREVRANGE", key, len(kept), count - 1)])
            found, stale = await self._look_up(members, self._is_at_risk)
            new = [each for each in found if each["customer_id"] not in kept]
            if not (new or stale):
                break
            kept.update((each["customer_id"], each) for each in new)
            await self._take_out(key, stale, self._is_at_risk)
        return sorted(kept.values(), key=_probability, reverse=True)

    def _is_at_risk(self, record: Fields) -> bool:
        return _probability(record) >= self._threshold

    async def _take_out(self, key: str, stale: Sequence[bytes], belongs: Belongs) -> None:
        """Drop members, and put back those whom a writer brought in meanwhile."""
        if not stale:
            return
        ranked = key == self._keys.at_risk
        await self._link.send([("ZREM" if ranked else "SREM", key, *stale)])
        for record in (await self._look_up(stale, belongs))[0]:
            customer = record["customer_id"]
            back = (
                ("ZADD", key, _probability(record), customer) if ranked else ("SADD", key, customer)
            )
            await self._link.send([back])

    async def _look_up(
        self, members: Sequence[bytes], belongs: Belongs
    ) -> tuple[list[Fields], list[bytes]]:
        commands: list[Command] = [("GET", self._keys.scores(each.decode())) for each in members]
        values = await self._link.send(commands) if commands else []
        kept, stale = [], []
        for member, value in zip(members, values, strict=True):
            record = value and _decode(value)
            if record and belongs(record):
                kept.append(record)
            else:
                stale.append(member)
        return kept, stale


def _probability(record: Fields) -> float:
    probability = record["churn_probability"]
    return -1.0 if probability is None else float(probability)
