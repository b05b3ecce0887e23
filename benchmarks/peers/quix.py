"""Quix Streams: `apply(stateful=True)`, RocksDB and a changelog topic, as its documentation has it.

Exchanged for speed: one state value per customer instead of one per number, a linger and large
fetches. At least once, which is its default.
"""

from __future__ import annotations

import os

from quixstreams import Application, State

from benchmarks.small.job import Job

OUTPUT = os.environ["BENCH_OUTPUT"]
job = Job()


def score(event: dict, state: State) -> dict:
    after, found = job.score(state.get("state"), event)
    state.set("state", after)
    return found


app = Application(
    broker_address=os.environ["BENCH_KAFKA"],
    consumer_group=OUTPUT,
    auto_offset_reset="earliest",
    state_dir=os.environ["BENCH_FOLDER"],
    loglevel="WARNING",
    consumer_extra_config={"queued.min.messages": 100_000, "check.crcs": False},
    producer_extra_config={"linger.ms": 50, "batch.num.messages": 10_000},
)
events = app.topic(os.environ["BENCH_SOURCE"], value_deserializer="json", key_deserializer="bytes")
scores = app.topic(OUTPUT, value_serializer="json", key_serializer="bytes")
sdf = app.dataframe(events).apply(score, stateful=True).to_topic(scores)

if __name__ == "__main__":
    app.run()
