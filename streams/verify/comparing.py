"""Reads all that a run left behind, and compares it with the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from crm_online.cloudevents import event_id
from crm_online.sinks.redis import connect
from crm_online.sinks.redis.keys import Keys
from streams.verify.checks import Check, Tally, check_customers
from streams.verify.facts import rescored_from, totals
from streams.verify.reading import Reader
from streams.verify.relearning import Index, Models, Relearned
from streams.verify.standing import Cached, Standing, check_cache, check_compacted, check_lists
from streams.verify.states import States
from streams.verify.truth import Truth, ce_id_of, facts_of_score, refused

if TYPE_CHECKING:
    from crm_online.log import Record
    from crm_online.settings import Settings

__all__ = ["Outcome", "compare"]

AT_ONCE: Final = 1000


class Outcome(NamedTuple):
    """What the comparison came to.

    Parameters
    ----------
    events
        On the log.
    repeated
        Of those, how often one was scored again.
    checks
        All that was compared.
    """

    events: int
    repeated: int
    checks: list[Check]


async def compare(settings: Settings) -> Outcome:
    """Compare record by record; nothing writes any more.

    Parameters
    ----------
    settings
        Those of the workers.
    """
    truth = Truth(settings)
    await _each(settings, "events", truth.apply)
    truth.finish()
    states, models = States(), Models(settings)
    await _each(settings, "state", states.apply)
    await _each(settings, "models", lambda _, records: models.apply(records))
    scored, repeated, scores = await _compare_scores(settings, truth)
    outcomes, index = Relearned(settings, truth), Index(settings, truth)
    await _each(settings, "outcomes", lambda _, records: outcomes.apply(records))
    await _each(settings, "interactions", lambda _, records: index.apply(records))
    lists = Standing()
    await _each(settings, "recommendations", lambda _, records: _take_all(lists, records))
    cached = await _cached(settings, scores.last.keys() | lists.last.keys())
    offered = states.offered()
    checks = [
        check_customers(truth.customers, states.facts()),
        *scored,
        *outcomes.finish(models),
        *index.finish(models),
        check_lists(lists, truth.last_touch, offered, index.seen_at, index.warm_at),
        check_compacted(scores, lists, states),
        check_cache(scores, lists, cached, settings.at_risk_probability),
        await _compare_dead_letters(settings, truth),
    ]
    return Outcome(truth.events, repeated, checks)


async def _each(
    settings: Settings, noun: str, take: Callable[[int, Sequence[Record]], None]
) -> None:
    async with Reader(settings, noun) as reader:
        async for partition, records in reader.read():
            take(partition, records)


def _take_all(standing: Standing, records: Iterable[Record]) -> None:
    for record in records:
        standing.take(record)


async def _compare_scores(settings: Settings, truth: Truth) -> tuple[list[Check], int, Standing]:
    """Compare all scores, count the events among the repeats, keep the last of each customer."""
    tally: Tally[bytes] = Tally("scores", truth.scores)
    repeated, rescored, standing = 0, Check("rescored behind stale writes"), Standing()

    def take(_: int, records: Sequence[Record]) -> None:
        nonlocal repeated
        for record in records:
            standing.take(record)
            if record.value is None:
                continue
            facts, cause = facts_of_score(record)
            if cause == "rescoring":
                _check_rescored(rescored, truth, record.value, facts)
            else:
                repeated += not tally.see(ce_id_of(record), facts) and cause == "event"

    await _each(settings, "scores", take)
    return [tally.finish(), rescored], repeated, standing


def _check_rescored(check: Check, truth: Truth, value: bytes, facts: bytes) -> None:
    """Compare a rescoring with the score of the event that it repeats, if an event it was."""
    customer, source = rescored_from(value)
    wanted = truth.scores.get(event_id(customer, source, "score").encode())
    check.found += 1
    check.expected += 1
    if wanted is not None and totals(wanted) != totals(facts):
        check.blame(f"{customer} at {source.partition}/{source.offset} has other totals")


async def _compare_dead_letters(settings: Settings, truth: Truth) -> Check:
    tally = Tally("dead letters", dict.fromkeys(truth.dead_letters, b"\x80"))

    def take(_: int, records: Sequence[Record]) -> None:
        for record in records:
            tally.see(refused(record), b"\x80")

    await _each(settings, "dead-letters", take)
    return tally.finish()


async def _cached(settings: Settings, customers: Iterable[str]) -> Cached:
    keys, wanted = Keys(settings.app), sorted(customers)
    client: Any = connect(settings)

    async def held(name: Callable[[str], str]) -> dict[str, bytes]:
        values: list[bytes | None] = []
        for first in range(0, len(wanted), AT_ONCE):
            values += await client.mget(map(name, wanted[first : first + AT_ONCE]))
        return {c: v for c, v in zip(wanted, values, strict=True) if v is not None}

    try:
        names = sorted(_names(await client.smembers(keys.segments)))
        sets = [_names(await client.smembers(keys.segment(name))) for name in names]
        return Cached(
            await held(keys.scores),
            await held(keys.recommendations),
            dict(zip(names, sets, strict=True)),
            _names(await client.zrange(keys.at_risk, 0, -1)),
        )
    finally:
        await client.aclose()


def _names(members: Iterable[bytes]) -> set[str]:
    return {member.decode() for member in members}
