"""Partitions that were added: who was moved by `adopt` is acted on where their scores are now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from crm_online.actions.acting import Actor
from crm_online.actions.records import Action
from crm_online.customers.partition import Partition
from crm_online.customers.progress import Progress
from crm_online.internal import PROGRESS_KEY
from crm_online.log import LogRecord, Message, Origin
from crm_online.scores import ScoreUpdate, Source
from crm_online.settings import Settings
from streams.feeding import partition_of
from streams.upkeep.actions import ActionsStanding
from streams.upkeep.scanning import Scan
from streams.upkeep.work import Work
from tests.acting import HOUR, START, Scores, actions, rule_set, score

FORMER, NOW = 2, 4
RULES = rule_set({"when": {"churn_above": 0.7}})
Topic = dict[int, list[Message]]


class PowerCut(Exception):
    """Nothing more is written."""


class Shelves(Scan):
    """The state topic without a broker, read, and written until the power is cut."""

    def __init__(self, topic: Topic, own_records: int = NOW) -> None:
        super().__init__(Settings(), Work())
        self._topic = topic
        self._left = own_records

    async def bounds(self, noun: str, partitions: int) -> dict[int, tuple[int, int]]:
        return dict.fromkeys(range(partitions), (0, 1))

    async def partition(
        self, number: int, bounds: tuple[int, int], word: str, noun: str = "state"
    ) -> tuple[Partition, list[Message]]:
        return restored(number, self._topic).partitions[number], []

    async def write(self, noun: str, partition: int, messages: Sequence[Message]) -> None:
        own = any(message.key == PROGRESS_KEY for message in messages)
        if own and not self._left:
            raise PowerCut
        self._left -= own
        self._topic[partition] += messages


def restored(number: int, topic: Topic, origin: Origin | None = None) -> Actor:
    actor = Actor(Settings(partitions=NOW))
    restore = actor.restore(number)
    restore.apply([LogRecord(n, 0, *message) for n, message in enumerate(topic[number])])
    restore.finish(origin)
    return actor


def own_records(topic: Topic) -> dict[int, Progress]:
    return {
        number: restored(number, topic).partitions[number].progress
        for number, messages in topic.items()
        if any(message.key == PROGRESS_KEY for message in messages)
    }


def act(actor: Actor, number: int, log: Scores, topic: Topic) -> list[Action]:
    """Process all scores, and keep what is durable of them."""
    effects = list(actor.process(number, log.records))
    for each in effects:
        topic[number] += [*each.snapshots, *([each.progress] if each.progress else [])]
    return actions(effects)


def falls_for(customer: str, epoch: int) -> list[ScoreUpdate]:
    """A customer comes to be at risk, by events of the log before, or after, it grew."""
    at = START + epoch * HOUR
    return [
        score(customer, at + n, churn_probability=p, source=Source(epoch, 0, n + 1))
        for n, p in enumerate((0.1, 0.9))
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize("written", [0, 1, 2, 3, NOW])
async def test_who_moved_to_an_added_partition_gets_actions_there(written: int) -> None:
    customer = next(
        name
        for name in (f"c{n}" for n in count())
        if (partition_of(name.encode(), FORMER), partition_of(name.encode(), NOW)) == (0, 2)
    )
    topic: Topic = defaultdict(list)
    for number in range(FORMER):
        actor, log = Actor(Settings(partitions=FORMER)), Scores()
        log.add(RULES, *(falls_for(customer, 0) if number == 0 else []))
        actor.restore(number).finish(Origin("crm.scores", "id", FORMER))
        assert len(act(actor, number, log, topic)) == (number == 0)
    origin, ends = Origin("crm.scores", "id", NOW), dict.fromkeys(range(NOW), 9)
    while (standing := ActionsStanding(origin, ends, own_records(topic), NOW)).grows:
        shelves: Any = Shelves(topic, written)
        written = NOW  # the next time
        with suppress(PowerCut):
            await standing.adopt(shelves, shelves)
    assert {n: r.partitions for n, r in own_records(topic).items()} == dict.fromkeys(
        range(NOW), NOW
    )
    after, log = restored(2, topic, origin), Scores()
    log.add(RULES, *falls_for(customer, 1))
    [found] = act(after, 2, log, topic)
    assert found.customer_id == customer
