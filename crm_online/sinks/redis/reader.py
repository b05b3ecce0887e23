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
Read = Callable[[bytes], Any]
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

    async def customer(
        self, customer: str, *, history: bool = True, read: Read = _decode
    ) -> Fields | None:
        """Return everything on one customer, or None where there is nothing.

        Parameters
        ----------
        customer
            Customer id.
        history
            Whether to return the histories and actions as well.
        read
            Makes of each record's JSON what is returned; who only passes it on need not decode it.

        Returns
        -------
        ``customer_id``; ``scores`` and ``recommendations``, each the latest record or None;
        ``scores_history``, ``recommendations_history`` and ``actions``, newest first;
        ``expires_in_seconds`` of the scores, or None.

        Raises
        ------
        SinkUnavailable
            Where Redis did not answer within the retries.
        """
        scores, listed, scored, lists, _, acted = self._keys.of_customer(customer)
        commands: list[Command] = [("GET", scores), ("GET", listed), ("PTTL", scores)]
        if history:
            commands += [("LRANGE", key, 0, -1) for key in (scored, lists, acted)]
        latest, offered, left, *histories = await self._link.send(commands)
        if latest is None and offered is None:
            return None
        found: Fields = {
            "customer_id": customer,
            "scores": latest and read(latest),
            "recommendations": offered and read(offered),
        }
        names = ("scores_history", "recommendations_history", "actions")
        for name, records in zip(names, histories, strict=False):
            found[name] = [read(each) for each in records]
        return found | {"expires_in_seconds": left / 1000 if left >= 0 else None}

    async def recommendations(self, customer: str, *, read: Read = _decode) -> Any:
        """Return the latest list for one customer, read as in `customer`, or None without one."""
        (found,) = await self._link.send([("GET", self._keys.recommendations(customer))])
        return None if found is None else read(found)

    async def sizes(self) -> tuple[dict[str, int], int]:
        """Return how many customers each segment has, by name, and how many are at risk.

        Members that have expired count until a reader meets them.
        """
        (names,) = await self._link.send([("SMEMBERS", self._keys.segments)])
        segments = sorted(name.decode() for name in names)
        commands: list[Command] = [("SCARD", self._keys.segment(name)) for name in segments]
        *counts, at_risk = await self._link.send([*commands, ("ZCARD", self._keys.at_risk)])
        return dict(zip(segments, map(int, counts), strict=True)), int(at_risk)

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
