"""`crm-online consistency`: the topics read, compared, and told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from crm_online.consistency import Consistency
from crm_online.retracing import Retracer
from streams.evaluating.tables import print_json, print_table
from streams.exits import EXIT_FAILED, say
from streams.progress import progress_bar
from streams.retracing.logs import log_of_topic
from streams.topics import partition_count
from streams.upkeep.scanning import Scan
from streams.upkeep.work import Work

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["check_consistency"]


def check_consistency(settings: Settings, *, json: bool) -> int:
    """Compare what is published with the log, and tell; returns the exit code.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    ConfigurationError
        Where the log is not there, or not whole.
    """
    work = Work()
    with progress_bar(work.stage):
        found = asyncio.run(_compare(settings, work))
    kinds = {"scores": found.scores, "predictions": found.predictions}
    exact = all(kind.exact for kind in kinds.values())
    differences = [sentence for kind in kinds.values() for sentence in kind.differences]
    if json:
        report = {name: asdict(kind) for name, kind in kinds.items()}
        for each in report.values():
            del each["differences"]
        print_json({"consistent": exact, **report, "differences": differences})
    else:
        rows = [
            [name, f"{kind.compared:,}", f"{kind.different:,}", f"{kind.unexplained:,}"]
            for name, kind in kinds.items()
        ]
        print_table(["", "compared", "different", "not from the log"], rows)
        for sentence in differences:
            typer.echo(sentence)
    compared = sum(kind.compared for kind in kinds.values())
    if not compared:
        say("nothing is published yet that could be compared")
    return 0 if exact and compared else EXIT_FAILED


async def _compare(settings: Settings, work: Work) -> Consistency:
    found, retracer = Consistency(), Retracer(settings)
    async with Scan(settings, work) as logs, Scan(settings, work) as outputs:
        published = await outputs.bounds("scores", partition_count(settings, "events"))
        last = None
        async for partition, records in log_of_topic(settings, logs):
            if last not in {None, partition}:
                await _scores(outputs, published, last, found)
            last = partition
            for part in retracer.apply(partition, records):
                found.know(partition, part)
        await _scores(outputs, published, last, found)
        spans = await outputs.bounds("outcomes", 1)
        async for _, records in outputs.read("outcomes", spans, "comparing"):
            found.see_outcomes(records)
    return found


async def _scores(
    outputs: Scan,
    published: Mapping[int, tuple[int, int]],
    partition: int | None,
    found: Consistency,
) -> None:
    if partition is not None:
        span = {partition: published[partition]}
        async for _, records in outputs.read("scores", span, "comparing"):
            found.see_scores(partition, records)
        found.forget()
