"""A bare aiokafka program that copies each record to another topic: `python -m benchmarks.echo`."""

from __future__ import annotations

import asyncio
import os

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

__all__ = ["main"]


async def main() -> None:
    """Copy until killed; what to read and to write stands in the environment."""
    kafka, output = os.environ["BENCH_KAFKA"], os.environ["BENCH_OUTPUT"]
    consumer = AIOKafkaConsumer(
        os.environ["BENCH_SOURCE"], bootstrap_servers=kafka, group_id=output, check_crcs=False
    )
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await consumer.start()
    await producer.start()
    while True:
        sent = []
        for place, records in (await consumer.getmany(timeout_ms=500)).items():
            batch = producer.create_batch()
            for record in records:
                item = {"key": record.key, "value": record.value, "timestamp": None}
                if batch.append(**item) is None:
                    sent.append(await producer.send_batch(batch, output, partition=place.partition))
                    batch = producer.create_batch()
                    batch.append(**item)
            sent.append(await producer.send_batch(batch, output, partition=place.partition))
        await asyncio.gather(*sent)


if __name__ == "__main__":
    uvloop.run(main())
