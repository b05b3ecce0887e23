"""What `crm-online reset` does: everything is computed anew from the log that is there now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from crm_online.customers.progress import Progress, next_epoch, progress_message
from crm_online.internal import reset as reset_message
from streams.admin import Admin
from streams.exits import counted
from streams.progress import progress_bar
from streams.roles.inputs import INPUTS
from streams.upkeep.rebasing import rebased, stale_models
from streams.upkeep.reporting import Report, print_report
from streams.upkeep.scanning import Scan
from streams.upkeep.standing import Standing, grow_topics, look
from streams.upkeep.work import Work, confirm, ensure_stopped, show_plan
from streams.upkeep.writing import writing

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["reset"]


def reset(settings: Settings, *, yes: bool, json: bool) -> int:
    """Have states, models and cache computed anew; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    yes
        Do not ask.
    json
        Print JSON in place of sentences.

    Raises
    ------
    ConfigurationError
        Where workers run, or a topic is missing.
    SnapshotError
        Where something that stands there cannot be read.
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    """
    work, admin = Work(), Admin(settings)
    ensure_stopped(settings, admin)
    with progress_bar(work.stage):
        standing = asyncio.run(_look(settings, admin, work))
    show_plan(list(_sentences(settings, standing)))
    if not confirm(yes=yes):
        return print_report(Report("reset", "nothing was changed"), json=json, done=False)
    with progress_bar(work.stage):
        report = asyncio.run(_reset(settings, admin, standing))
    return print_report(report, json=json)


async def _look(settings: Settings, admin: Admin, work: Work) -> Standing:
    async with Scan(settings, work) as scan:
        return await look(settings, admin, scan)


def _sentences(settings: Settings, standing: Standing) -> Iterator[str]:
    events = sum(end - low for low, end in standing.bounds.values())
    topic = settings.topic("events")
    yield (
        f"all states and models will be computed anew from the {counted(events, 'record')} that "
        f"stand on {topic}; until then the cache shows what it has"
    )
    gone = sum(low for low, _ in standing.bounds.values())
    if gone:
        yield (
            f"retention has removed {counted(gone, 'record')} of {topic}: what customers did in "
            "them will be forgotten; `crm-online backup DIR` keeps what is known now"
        )


async def _reset(settings: Settings, admin: Admin, standing: Standing) -> Report:
    count, epoch = standing.origin.partitions, next_epoch(standing.epoch)
    report = Report("reset", "all is computed anew once workers start")
    report.topics = grow_topics(settings, admin, count)
    key = settings.signing_key.get_secret_value().encode()
    record = Progress(epoch=epoch, floor=epoch, topic_id=standing.origin.topic_id, partitions=count)
    async with writing(settings) as writer:
        # Models first: outcomes of the new epoch must find them new.
        await writer.write("models", 0, rebased(settings, standing, stale_models(standing)))
        for noun in INPUTS:
            await writer.write(noun, 0, [reset_message(key, epoch, count)])
        for partition in range(count):
            await writer.write("state", partition, [progress_message(record)])
    report.counts = {"partitions": count, "epoch": epoch}
    if settings.partitions != count:
        report.then = f"set CRM_PARTITIONS={count} for all workers before you start them"
    return report
