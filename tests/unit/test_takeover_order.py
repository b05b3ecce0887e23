"""Whoever takes a partition over, and wherever owners before died: the newest score stands last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from crm_online.log import Effects, LogRecord, Message
from crm_online.scores import Source
from crm_online.scoring import Scorer
from crm_online.settings import Settings
from tests.builders import START, page

SETTINGS = Settings(partitions=1)
CUSTOMERS = 3
EVENTS = 12
_source = msgspec.json.Decoder(Source).decode


class _Placed(msgspec.Struct):
    source: Source


_placed = msgspec.json.Decoder(_Placed).decode


class Owner(NamedTuple):
    """One owner of the partition, and how it ends.

    Parameters
    ----------
    batch
        How many records it takes at once.
    steps
        How many steps of its effects become durable: outputs, snapshots, the partition's own
        record, of one batch behind the other.
    late
        Whether it was only stopped: the snapshots of the step that was cut off, if it was at them,
        arrive once its successor has restored.
    """

    batch: int
    steps: int
    late: bool


OWNERS = st.lists(
    st.builds(Owner, st.integers(1, 5), st.integers(0, 14), st.booleans()), min_size=1, max_size=5
)


class Topics:
    """What stands on the log, on the state topic and on the topic of scores."""

    def __init__(self) -> None:
        self.events = [
            LogRecord(n, int((START + n) * 1000), b"", page(f"c{n % CUSTOMERS}", at=START + n))
            for n in range(EVENTS)
        ]
        self.state: list[Message] = []
        self.scores: list[Message] = []

    def live(self, owner: Owner) -> list[Message]:
        """Live through one owner; returns the snapshots that are on their way at its end."""
        steps = self._steps(owner)
        done = [step for _, step in zip(range(owner.steps), steps, strict=False)]
        for topic, messages in done:
            topic.extend(messages)
        topic, messages = next(steps, (self.scores, []))
        return messages if owner.late and topic is self.state else []

    def _steps(self, owner: Owner) -> Iterator[tuple[list[Message], list[Message]]]:
        scorer = Scorer(SETTINGS)
        restore = scorer.restore(0)
        restore.apply([LogRecord(n, 0, *message) for n, message in enumerate(self.state)])
        start = restore.finish()
        yield from self._durable(scorer.repeat(0))
        for first in range(start, EVENTS, owner.batch):
            for effects in scorer.process(0, self.events[first : first + owner.batch]):
                yield from self._durable(effects)

    def _durable(self, effects: Effects) -> Iterator[tuple[list[Message], list[Message]]]:
        yield self.scores, effects.outputs.get("scores", [])
        yield self.state, effects.snapshots
        if effects.progress is not None:
            yield self.state, [effects.progress]


def order(score: Message) -> tuple[float, ...]:
    source = _placed(score.value or b"").source
    return source.offset, source.step, source.due, source.index


@given(OWNERS)
# The first one's snapshots come when the second has repeated older scores behind the newer ones.
@example([Owner(5, 6, late=True), Owner(2, 7, late=False)])
def test_the_newest_score_of_each_customer_stands_last(owners: list[Owner]) -> None:
    topics = Topics()
    late: list[Message] = []
    for owner in [*owners, Owner(EVENTS, 1000, late=False)]:
        under_way = topics.live(owner)
        topics.state.extend(late)
        late = under_way
    last = {score.key: order(score) for score in topics.scores}
    newest = {key: max(order(s) for s in topics.scores if s.key == key) for key in last}
    assert last == newest
    assert len(last) == CUSTOMERS
