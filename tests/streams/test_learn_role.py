"""The learner reads its inputs without a gap, or ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from crm_online.errors import SnapshotError
from crm_online.log import LogRecord
from crm_online.settings import Settings
from streams.batches import Batch
from streams.roles.inputs import Input, check_starts
from streams.roles.learn import LearnRole
from tests.streams.test_processor import Event


class Stream:
    """What an agent reads: some events."""

    def __init__(self, *events: Event) -> None:
        self.given = events

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Event]:
        for each in self.given:
            yield each


@pytest.mark.asyncio
async def test_a_gap_in_an_input_is_never_learned_past() -> None:
    failures: list[BaseException] = []
    role = LearnRole(Settings(), failures.append)
    role._generation, role._next = 3, {"outcomes": 5}
    role.owned("outcomes", owned=True)
    behind = Batch("crm.outcomes", 0, [LogRecord(7, 0, b"", b"no outcome")], 8, 7)
    event = Event(behind, SimpleNamespace(generation_id=3))
    await role.run("outcomes", Stream(event))
    assert [type(each).__name__ for each in failures] == ["CrmOnlineError"]
    assert "crm.outcomes[0] went on at offset 7 where 5 was to come" in str(failures[0])
    assert not event.acks
    assert role.learner.slots["churn"].offset == -1


def test_what_retention_took_unlearned_is_passed_over_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inputs = {"outcomes": Input("crm.outcomes", "id", 50, 90)}
    assert check_starts({"outcomes": 20, "interactions": 4}, inputs) == {
        "outcomes": 50,
        "interactions": 4,
    }
    assert "retention has taken 30 records" in caplog.text
    caplog.clear()
    for start in (0, 50, 90):
        assert check_starts({"outcomes": start}, inputs) == {"outcomes": max(start, 50)}
    assert not caplog.text
    with pytest.raises(SnapshotError, match=r"crm.outcomes\[0\]@91.*ends at 90.*adopt"):
        check_starts({"outcomes": 91}, inputs)
