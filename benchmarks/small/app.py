"""The small job on this project's transport and checkpointing: `python -m benchmarks.small.app`."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import uvloop

from benchmarks.small.machine import SmallMachine
from crm_online import Settings
from streams.batches import BatchApp
from streams.connection import faust_options
from streams.ending import end_process
from streams.lease import Lease, Pulse
from streams.processor import Processor
from streams.producer import OutputProducer

__all__ = ["main"]


async def main() -> None:
    """Score until killed; what to read and to write stands in the environment."""
    source, output = os.environ["BENCH_SOURCE"], os.environ["BENCH_OUTPUT"]
    prefix, noun = source.split(".")
    written = output.removeprefix(f"{prefix}.")
    settings = Settings(app=prefix, kafka=os.environ["BENCH_KAFKA"])
    pulse = Pulse(settings.max_pause_seconds, end_process)
    lease = Lease(settings.session_timeout_seconds, pulse)
    producer = OutputProducer(settings, end_process, lease)
    processor = Processor(
        SmallMachine(written),
        producer,
        settings,
        end_process,
        source=noun,
        state=f"{written}-state",
        standing=(),
    )
    app = BatchApp(
        output,
        max_batch=settings.max_batch,
        stop=end_process,
        lease=lease,
        **faust_options(settings),
    )

    @app.agent(app.batch_topic(source, processor), name="score")
    async def score(stream: Any) -> None:
        await processor.run(stream)

    await producer.start()
    await asyncio.gather(app.start(), processor.guard.run())


if __name__ == "__main__":
    uvloop.run(main())
