"""Bytewax: `stateful_map` between a Kafka source and sink, as its documentation has it.

Recovery is off, its default: a crash loses the states. Batches of its source are five times the
default, and JSON is read by orjson.
"""

from __future__ import annotations

import os

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from benchmarks.small.job import Job

BROKERS = [os.environ["BENCH_KAFKA"]]
job = Job()


def keyed(message):
    event = orjson.loads(message.value)
    return event["customer"], event


def written(item):
    customer, found = item
    return KafkaSinkMessage(customer.encode(), orjson.dumps(found))


flow = Dataflow("small")
read = op.input(
    "events",
    flow,
    KafkaSource(
        BROKERS,
        [os.environ["BENCH_SOURCE"]],
        batch_size=5000,
        add_config={"queued.min.messages": "100000", "check.crcs": "false"},
    ),
)
scored = op.stateful_map("score", op.map("decode", read, keyed), job.score)
op.output(
    "scores",
    op.map("encode", scored, written),
    KafkaSink(BROKERS, os.environ["BENCH_OUTPUT"], add_config={"batch.num.messages": "10000"}),
)

if __name__ == "__main__":
    cli_main(flow)
