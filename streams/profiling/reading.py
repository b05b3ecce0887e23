"""Where a profile takes its records from: a file, or the events topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from crm_online.deciding import INTERNAL_TYPES
from crm_online.profiling import Profile, Profiler
from streams.progress import progress_bar
from streams.topics import partition_count
from streams.upkeep.scanning import Scan
from streams.upkeep.work import Work

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from streams.steps import History

__all__ = ["profile_file", "profile_topic"]


def profile_file(settings: Settings, history: History) -> tuple[Profile, int]:
    """Read a file in its own order; returns the profile, and the exit code of reading."""
    profiler = Profiler(settings)
    history.dataset.take_notes()
    with progress_bar(lambda: history.stage("reading")):
        for event in history.events():
            history.passed += 1
            profiler.see(event.value, event.at)
    report = history.dataset.report
    found = msgspec.structs.replace(profiler.profile(), rows={**report.skipped, **report.noticed})
    return found, history.end()


def profile_topic(settings: Settings) -> Profile:
    """Read the events topic to its present end.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    ConfigurationError
        Where the topic is not there.
    """
    work = Work()
    with progress_bar(work.stage):
        return asyncio.run(_read(settings, work))


async def _read(settings: Settings, work: Work) -> Profile:
    profiler = Profiler(settings)
    count = partition_count(settings, "events")
    async with Scan(settings, work) as scan:
        spans = await scan.bounds("events", count)
        async for partition, records in scan.read("events", spans, "reading"):
            for record in records:
                if dict(record.headers).get("ce_type") not in INTERNAL_TYPES:
                    profiler.see(record.value, record.timestamp / 1000.0, partition)
    return profiler.profile()
