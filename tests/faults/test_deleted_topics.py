"""A topic deleted under a worker: it ends and says so, whichever topic it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from streams.embedded import RealKafka, Valkey
from tests.faults.harness import assert_stops
from tests.streams.job import Process, Tail, job_settings, population, send

FIRST = 300  # events of the population before the topic goes
# The role that must notice.
TOPICS = {
    "events": "score",
    "state": "score",
    "interactions": "score",
    "outcomes": "learn",
    "models": "learn",
    "recommendations": "cache",
}
EVERY_RUN = ("state",)  # the log itself: tests of the watchdog


@pytest.mark.real
@pytest.mark.asyncio
@pytest.mark.parametrize(
    "noun",
    [n if n in EVERY_RUN else pytest.param(n, marks=pytest.mark.long) for n in TOPICS],
)
async def test_no_silent_stop(
    noun: str, app: str, real_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    settings = job_settings(
        app, real_kafka, valkey, signing_key=SecretStr("ours"), stall_seconds=20.0
    )
    async with Tail(settings, "scores") as tail:
        with Process(settings, tmp_path, [TOPICS[noun]]) as worker:
            if TOPICS[noun] == "score":
                await send(population()[:FIRST], settings, None)
                await tail.until(lambda: len(tail.records["scores"]) >= FIRST)
            else:
                await tail.until(lambda: worker.alive() and '"ready"' in worker.log.read_text())
            admin, topic = AdminClient({"bootstrap.servers": settings.kafka}), settings.topic(noun)
            admin.delete_topics([topic])[topic].result(30)
            await assert_stops(worker, 1, rf"{app}\.{noun}\b.* (deleted|does not exist|gone)", 60.0)
