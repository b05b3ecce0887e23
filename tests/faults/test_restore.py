"""A restore that takes long says how far it is."""

from __future__ import annotations

import logging
import re

import pytest

from crm_online.customers.state import CustomerState
from crm_online.customers.store import encode_state
from crm_online.log import Message
from crm_online.scoring import Scorer
from streams import bulk, checkpoint
from streams.embedded import RealKafka, Valkey
from streams.producer import OutputProducer
from streams.topics import create_missing
from tests.streams.job import job_settings

CUSTOMERS = 30_000


@pytest.mark.real
@pytest.mark.asyncio
async def test_progress_is_logged_with_rate_and_time_left(
    app: str,
    real_kafka: RealKafka,
    valkey: Valkey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(checkpoint, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(bulk, "AT_ONCE_BYTES", 500_000)
    settings = job_settings(app, real_kafka, valkey, partitions=1)
    create_missing(settings)
    producer = OutputProducer(settings, lambda error: None)
    await producer.start()
    packed = encode_state(CustomerState(as_of=0.0, recent_ids=bytes(300)))
    customers = [Message(b"c%d" % number, packed) for number in range(CUSTOMERS)]
    await producer.deliver(settings.topic("state"), 0, customers)
    await producer.deliver(settings.topic("events"), 0, [Message(b"c0", b"{}")])
    await producer.stop()
    scorer = Scorer(settings)
    with caplog.at_level(logging.INFO, "streams.checkpoint"):
        done = await checkpoint.restore(
            [0], scorer, settings, source=settings.topic("events"), state=settings.topic("state")
        )
    assert done is not None
    assert done.records == len(scorer.partitions[0].store) == CUSTOMERS
    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("restoring")]
    shape = re.compile(rf"restoring {app}\.state: (\d+) records, \d+/s, at most \d+ s left")
    found = [shape.fullmatch(line) for line in said]
    counts = [int(match[1]) for match in found if match is not None]
    assert len(counts) == len(said) > 3
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1] < CUSTOMERS
