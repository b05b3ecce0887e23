"""Plain aiokafka: `getmany`, a dict of states in memory, `send_batch`, a commit behind each round.

The least that a consumer of one's own has to do; a crash loses the states.
"""

from __future__ import annotations

import asyncio
import os

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.small.job import Job

BATCH_BYTES = 256 * 1024


async def main() -> None:
    job, states = Job(), {}
    kafka, output = os.environ["BENCH_KAFKA"], os.environ["BENCH_OUTPUT"]
    consumer = AIOKafkaConsumer(
        os.environ["BENCH_SOURCE"],
        bootstrap_servers=kafka,
        group_id=output,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        check_crcs=False,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES
    )
    await consumer.start()
    await producer.start()
    while True:
        sent = []
        for place, records in (await consumer.getmany(timeout_ms=500, max_records=2000)).items():
            batch = producer.create_batch()
            for record in records:
                states[record.key], found = job.score(
                    states.get(record.key), orjson.loads(record.value)
                )
                value = orjson.dumps(found)
                if batch.append(key=record.key, value=value, timestamp=None) is None:
                    sent.append(await producer.send_batch(batch, output, partition=place.partition))
                    batch = producer.create_batch()
                    batch.append(key=record.key, value=value, timestamp=None)
            sent.append(await producer.send_batch(batch, output, partition=place.partition))
        await asyncio.gather(*sent)
        await consumer.commit()


uvloop.run(main())
