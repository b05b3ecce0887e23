"""A worker that counts events per key: ``python counting.py '{settings as JSON}' [pause]``."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import faust

from crm_online.log import Effects, Header, Message, Origin, Record
from crm_online.settings import Settings
from streams.batches import BatchApp
from streams.connection import faust_options
from streams.processor import Processor
from streams.producer import OutputProducer

PROGRESS = b"\0progress"


class Counts:
    """Of one partition: key to [as_of, count]."""

    def __init__(self) -> None:
        self.counts: dict[bytes, list[int]] = {}
        self.as_of = -1

    def apply(self, records: Iterable[Record]) -> int:
        taken = 0
        for taken, record in enumerate(records, 1):  # noqa: B007 - the last one is returned
            assert record.key is not None
            read = json.loads(record.value or b"")
            if record.key == PROGRESS:
                self.as_of = max(self.as_of, read)
            elif read[0] > self.counts.get(record.key, [-1])[0]:
                self.counts[record.key] = read
        return taken

    def finish(self, origin: Origin | None = None) -> int:
        return self.as_of + 1

    def remarks(self) -> Sequence[Header]:
        return ()

    def overtaken(self) -> list[Message]:
        return []


class Counting:
    """A machine that counts the events of each key and says so in one output per event."""

    def __init__(self) -> None:
        self.partitions: dict[int, Counts] = {}

    def restore(self, partition: int) -> Counts:
        self.partitions[partition] = Counts()
        return self.partitions[partition]

    def forget(self, partition: int) -> None:
        self.partitions.pop(partition, None)

    def process(self, partition: int, records: Sequence[Record]) -> Iterator[Effects]:
        held, changed, outputs = self.partitions[partition], {}, []
        for record in records:
            key = record.key or b""
            count = held.counts.setdefault(key, [-1, 0])
            if record.offset > count[0]:
                count[0], count[1] = record.offset, count[1] + 1
                changed[key] = count
            outputs.append(Message(key, b"%d:%d" % (partition, record.offset)))
        held.as_of = records[-1].offset
        snapshots = [Message(key, json.dumps(count).encode()) for key, count in changed.items()]
        progress = Message(PROGRESS, json.dumps(held.as_of).encode())
        yield Effects({"scores": outputs}, snapshots, progress, held.as_of, len(records))

    def repeat(self, partition: int) -> Effects:
        del partition
        return Effects()

    def correct(self, partition: int, noun: str, records: Sequence[Record]) -> Effects:
        held = self.partitions[partition]
        snapshots = [
            Message(record.key, json.dumps(held.counts[record.key]).encode())
            for record in records
            if noun == "state"
            and record.key in held.counts
            and json.loads(record.value or b"")[0] < held.counts[record.key][0]
        ]
        return Effects(snapshots=snapshots)


def die(error: BaseException) -> None:
    print("FATAL", repr(error), flush=True)  # noqa: T201 - read by the test
    os._exit(70)


def main(settings: Settings, pause_seconds: float) -> None:
    logging.disable(logging.DEBUG)
    app = BatchApp(
        f"{settings.app}-score", max_batch=settings.max_batch, stop=die, **faust_options(settings)
    )
    producer = OutputProducer(settings, die)
    processor = Processor(Counting(), producer, settings, die, standing=())
    topic = app.batch_topic(processor.source, processor)

    @app.agent(topic)
    async def score(stream: Any) -> None:
        await producer.start()
        async for event in stream.noack().events():
            await processor.take(event)
            await asyncio.sleep(pause_seconds)

    @app.timer(0.2)  # type: ignore[untyped-decorator]
    async def report() -> None:
        print("FIGURES", processor.figures, processor.lag(), sorted(processor.owned), flush=True)  # noqa: T201

    faust.Worker(app, loglevel="INFO").execute_from_commandline()


if __name__ == "__main__":
    main(Settings(**json.loads(sys.argv[1])), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
