"""What is done to workers, broker and cache, and when: by seed, so that it can be repeated."""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import Final, NamedTuple

__all__ = ["Disturbance", "Kind", "Wanted", "duration", "plan"]

FIRST: Final = 0.04  # of the stream: every worker has some state by then
LAST: Final = 0.94
STARTING_SECONDS: Final = 6.0  # of a worker, until it takes batches
BROKER_SECONDS: Final = 15.0
MOVES_EVERY: Final = 5  # one worker leaves and one joins for so many others that are hurt


class Kind(StrEnum):
    """One way to disturb the job."""

    KILL = "kill"
    PAUSE = "pause"
    LEAVE = "leave"
    JOIN = "join"
    BROKER = "broker restart"
    CACHE = "cache outage"


class Disturbance(NamedTuple):
    """One thing that is done.

    Parameters
    ----------
    at
        When: the share of the stream that has been sent.
    kind
        What.
    pick
        Which of the workers, modulo their number; of servers, which way.
    seconds
        How long a pause or an outage lasts.
    """

    at: float
    kind: Kind
    pick: int
    seconds: float


class Wanted(NamedTuple):
    """How many disturbances of each kind a run is to have."""

    kills: int = 0
    pauses: int = 0
    broker_restarts: int = 0
    cache_outages: int = 0


def plan(
    wanted: Wanted, *, seed: int, workers: int, session_timeout_seconds: float
) -> list[Disturbance]:
    """Lay out a run.

    Parameters
    ----------
    wanted
        How many of each kind; workers join and leave in order besides.
    seed
        Equal arguments give equal plans.
    workers
        At the beginning; one at least is left at any time.
    session_timeout_seconds
        Every pause lasts longer than this.

    Examples
    --------
    >>> [d.kind.value for d in plan(Wanted(2), seed=1, workers=2, session_timeout_seconds=6.0)]
    ['join', 'kill', 'leave', 'kill']
    """
    random = Random(seed)  # noqa: S311 - to be repeated, not to be secret
    moves = 1 + (wanted.kills + wanted.pauses) // MOVES_EVERY
    kinds = (
        [Kind.KILL] * wanted.kills
        + [Kind.PAUSE] * wanted.pauses
        + [Kind.BROKER] * wanted.broker_restarts
        + [Kind.CACHE] * wanted.cache_outages
        + [Kind.LEAVE] * moves
        + [Kind.JOIN] * moves
    )
    random.shuffle(kinds)
    _keep_one(kinds, workers)
    width = (LAST - FIRST) / len(kinds)
    return [
        Disturbance(
            FIRST + width * (place + random.random()),
            kind,
            random.randrange(1 << 16),
            _seconds(kind, random, session_timeout_seconds),
        )
        for place, kind in enumerate(kinds)
    ]


def duration(disturbances: list[Disturbance]) -> float:
    """Return how long the stream must last for each disturbance to meet a working job, seconds."""
    return sum(_room(each) for each in disturbances) + STARTING_SECONDS


def _keep_one(kinds: list[Kind], workers: int) -> None:
    """Let a worker join first where the last one would leave."""
    running = workers
    for place, kind in enumerate(kinds):
        if kind is Kind.LEAVE and running == 1:
            following = kinds.index(Kind.JOIN, place)
            kinds[place], kinds[following] = Kind.JOIN, Kind.LEAVE
        running += (kinds[place] is Kind.JOIN) - (kinds[place] is Kind.LEAVE)


def _seconds(kind: Kind, random: Random, session_timeout_seconds: float) -> float:
    if kind is Kind.PAUSE:
        return session_timeout_seconds * random.uniform(1.4, 2.2)
    if kind in {Kind.BROKER, Kind.CACHE}:
        return random.uniform(1.0, 8.0)
    return 0.0


def _room(disturbance: Disturbance) -> float:
    if disturbance.kind is Kind.BROKER:
        return disturbance.seconds + BROKER_SECONDS
    return max(disturbance.seconds, STARTING_SECONDS)
