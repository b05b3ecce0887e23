"""FastStream: a batch subscriber and a batch publisher, as its documentation has it.

It keeps no state: a dict in memory, which a crash loses. Its typed arguments and their validation
are off (`apply_types=False`) and it commits by itself, which is its default.
"""

from __future__ import annotations

import logging
import os

import orjson
import uvloop
from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaPublishMessage

from benchmarks.small.job import Job

OUTPUT = os.environ["BENCH_OUTPUT"]
job, states = Job(), {}
broker = KafkaBroker(
    os.environ["BENCH_KAFKA"],
    apply_types=False,
    acks="all",
    enable_idempotence=True,
    max_batch_size=960 * 1024,  # a batch that is fuller is refused as a whole
    log_level=logging.DEBUG,
    logger=None,
)


@broker.publisher(OUTPUT, batch=True)
@broker.subscriber(
    os.environ["BENCH_SOURCE"],
    batch=True,
    group_id=OUTPUT,
    auto_offset_reset="earliest",
    max_records=2000,
    check_crcs=False,
)
async def score(messages):
    found = []
    for event in messages:
        customer = event["customer"]
        states[customer], output = job.score(states.get(customer), event)
        found.append(KafkaPublishMessage(orjson.dumps(output), key=customer.encode()))
    return found


uvloop.run(FastStream(broker, logger=None).run())
