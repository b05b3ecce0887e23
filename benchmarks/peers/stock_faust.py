"""A stock Faust agent, tuned: one Table update and one `send` per event.

uvloop, linger, large batches, `stream_wait_empty=False`, no leader topic, no debug logging: what
its settings page and measurements of it bring. Each of them made it faster.
"""

from __future__ import annotations

import logging
import os

import faust
import orjson

from benchmarks.small.job import Job

logging.disable(logging.DEBUG)  # at WARNING and above its spinner formats each debug line

OUTPUT = os.environ["BENCH_OUTPUT"]
app = faust.App(
    OUTPUT,
    broker="kafka://" + os.environ["BENCH_KAFKA"],
    store="memory://",
    datadir=os.environ["BENCH_FOLDER"],
    topic_partitions=int(os.environ["BENCH_PARTITIONS"]),
    topic_disable_leader=True,
    stream_wait_empty=False,
    broker_commit_interval=1.0,
    broker_check_crcs=False,
    producer_linger=0.05,
    producer_max_batch_size=256 * 1024,
    web_enabled=False,
    worker_redirect_stdouts=False,
)
events = app.topic(os.environ["BENCH_SOURCE"], key_type=bytes, value_serializer="raw")
scores = app.topic(OUTPUT, key_type=bytes, value_serializer="raw")
states = app.Table("states", partitions=int(os.environ["BENCH_PARTITIONS"]))
job = Job()


@app.agent(events)
async def score(stream: faust.Stream) -> None:
    async for event in stream.events():
        read = orjson.loads(event.value)
        customer = read["customer"]
        states[customer], found = job.score(states.get(customer), read)
        await scores.send(key=event.key, value=orjson.dumps(found))
