"""Events in, signed webhooks out: once each by their id, though the actor is killed on the way."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from crm_online.actions.files import read_rules_file
from crm_online.actions.records import DELIVERED
from streams.embedded import RealKafka, Valkey
from tests.acting import Scores, in_force
from tests.receiving import endpoint, receiving
from tests.streams.job import Process, Tail, population, send, until, working
from tests.streams.test_act import (
    NOUNS,
    RULES,
    acting_settings,
    assert_exact,
    is_done,
    until_acted,
    write_scores,
)
from tests.streams.test_deliver import ready


def _has_decided(tail: Tail, count: int, actor: Process) -> bool:
    return actor.alive() and len(tail.records["actions"]) > count


@pytest.mark.real
@pytest.mark.asyncio
async def test_each_action_is_one_webhook_though_the_actor_is_killed(
    app: str, real_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(RULES, encoding="utf-8")
    async with receiving() as receiver:
        settings = acting_settings(
            app,
            real_kafka,
            valkey,
            file,
            webhooks=[endpoint("mail", receiver.url)],
            max_batch=5,
            max_in_flight_events=40,
        )
        async with (
            Tail(settings, *NOUNS) as tail,
            working(settings, ["score", "learn", "deliver"]) as worker,
        ):
            await ready(worker)
            await write_scores(settings, Scores(), in_force(read_rules_file(file)))
            with Process(settings, tmp_path, ["act"]) as actor:
                await send(population(), settings, 2.0)
                await tail.until(partial(_has_decided, tail, 10, actor))
                actor.kill()
            await tail.until_applied()
            await tail.read_all()
            assert not is_done(tail)
            with Process(settings, tmp_path, ["act"]) as actor:
                await until_acted(tail)
                assert actor.stop() == 0
            await tail.read_all()
            wanted: dict[str, Any] = {
                action["action_id"]: action
                for action in (orjson.loads(r.value) for r in tail.records["actions"])
                if action["status"] in DELIVERED
            }
            await until(lambda: set(receiver.ids) >= wanted.keys())
            await until(lambda: worker.apps["deliver"].health().lag == 0)
        # The receiver has verified each by the library of the specification.
        assert {each.webhook_id: each.body["data"] for each in receiver.got} == wanted
        assert len(wanted) > 20
        assert_exact(settings, tail, repeats=True)
