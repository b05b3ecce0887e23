"""The role `deliver`: signed webhooks from the outbox, whoever fails, hangs or is killed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from crm_online.errors import ConfigurationError
from crm_online.settings import Settings
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.roles.deliver import DeliverRole
from tests.receiving import Got, action, endpoint, receiving, write_actions
from tests.streams.job import job_settings, until, working

NOUNS = ("actions", "actions.retry", "endpoints")


def delivering_settings(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey, *endpoints: Any, **more: Any
) -> Settings:
    given = {"webhooks": endpoints, "webhook_first_retry_seconds": 0.1}
    return job_settings(app, broker, valkey, **(given | more))


def by_customer(got: Iterable[Got]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for each in got:
        found[each.customer].append(each.number)
    return dict(found)


async def ready(worker: Any) -> None:
    app = worker.apps["deliver"]
    await until(lambda: app.health().state == "running" and app.health().partitions > 0)


def test_without_endpoints_the_role_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="CRM_WEBHOOKS"):
        DeliverRole(Settings(), lambda error: None)


@pytest.mark.asyncio
async def test_what_is_sent_or_released_comes_signed_in_order_and_once(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    async with receiving() as receiver:
        settings = delivering_settings(app, broker, valkey, endpoint("mail", receiver.url))
        statuses = ("sent", "held", "released", "expired", "suppressed", "control", "sent")
        async with working(settings, ["deliver"]) as worker:
            await ready(worker)
            await write_actions(
                settings,
                [action(f"c{c}", n, status=s) for n, s in enumerate(statuses) for c in range(20)],
            )
            await until(lambda: len(receiver.got) >= 60)
            await until(lambda: worker.apps["deliver"].health().lag == 0)
        assert by_customer(receiver.got) == {f"c{c}": [0, 2, 6] for c in range(20)}
        one = receiver.got[0]
        assert one.webhook_id == one.body["data"]["action_id"]
        assert one.body.keys() == {"type", "timestamp", "data"}
        assert one.body["timestamp"] == one.body["data"]["at"]
        async with working(settings, ["deliver"]) as worker:
            await ready(worker)
            await write_actions(settings, [action("c0", 7)])
            await until(lambda: len(receiver.got) > 60)
        assert [each.number for each in receiver.got[60:]] == [7]
