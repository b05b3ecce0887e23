"""What `crm-online adopt` does: goes on with the state on the log that is there now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from crm_online.customers.progress import Progress, next_epoch, progress_message
from crm_online.errors import ConfigurationError
from streams.admin import Admin
from streams.exits import counted
from streams.progress import progress_bar
from streams.upkeep.actions import ActionsStanding, look_at_actions
from streams.upkeep.growing import Growth, grow, survey
from streams.upkeep.rebasing import rebased, stale_models
from streams.upkeep.reporting import Report, print_report
from streams.upkeep.scanning import Scan
from streams.upkeep.standing import Standing, grow_topics, look
from streams.upkeep.work import Work, confirm, ensure_stopped, show_plan
from streams.upkeep.writing import writing

if TYPE_CHECKING:
    from crm_online.models.snapshots import ModelSnapshot
    from crm_online.settings import Settings

__all__ = ["adopt"]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done.

    Parameters
    ----------
    standing
        Of the job.
    anew
        Partitions whose log is another one, or has lost its end, with their new records.
    gaps
        Partitions with records that retention has taken unapplied, with their new records.
    growth
        Partitions that were added; None: none.
    lost
        How many records retention has taken.
    actions
        How the role `act` stands.
    """

    standing: Standing
    anew: dict[int, Progress]
    gaps: dict[int, Progress]
    growth: Growth | None
    lost: int
    actions: ActionsStanding

    @property
    def models(self) -> list[ModelSnapshot]:
        """Snapshots to be put onto new inputs."""
        return stale_models(self.standing)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        others = self.anew or self.gaps or self.growth or self.models
        return not others and self.actions.empty


def adopt(settings: Settings, *, yes: bool, json: bool) -> int:
    """Go on with states and models on the topics that are there; returns the exit code.

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
        Where workers run, a topic is missing, or the state cannot be taken along.
    SnapshotError
        Where something that stands there cannot be read.
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    """
    work = Work()
    admin = Admin(settings)
    ensure_stopped(settings, admin)
    with progress_bar(work.stage):
        plan = asyncio.run(_look(settings, admin, work))
    if plan.empty:
        return print_report(
            Report("adopt", "nothing to adopt: the state is of this log"), json=json
        )
    show_plan(list(_sentences(settings, plan)))
    if not confirm(yes=yes):
        return print_report(Report("adopt", "nothing was changed"), json=json, done=False)
    with progress_bar(work.stage):
        report = asyncio.run(_adopt(settings, admin, plan, work))
    return print_report(report, json=json)


async def _look(settings: Settings, admin: Admin, work: Work) -> _Plan:
    async with Scan(settings, work) as scan:
        standing = await look(settings, admin, scan)
        anew, gaps, lost = _partitions(standing)
        growth = await survey(standing, standing.records | anew | gaps, anew, scan)
        actions = await look_at_actions(settings, admin, scan, standing.origin.partitions)
        return _Plan(standing, anew, gaps, growth, lost, actions)


def _partitions(standing: Standing) -> tuple[dict[int, Progress], dict[int, Progress], int]:
    """Decide for each partition that has a record where it goes on."""
    anew, gaps, lost = dict[int, Progress](), dict[int, Progress](), 0
    raised = [standing.epoch]
    for number, record in standing.records.items():
        if number not in standing.bounds:
            raise ConfigurationError(
                f"{standing.origin.topic} has {standing.origin.partitions} partitions and the "
                f"state was made from more: make the topic anew with {standing.kept} partitions"
            )
        low, end = standing.bounds[number]
        if not record.is_of(standing.origin) or record.as_of >= end:
            same = bool(record.topic_id) and record.topic_id == standing.origin.topic_id
            anew[number] = _replaced(record, standing, as_of=end - 1 if same else -1)
            raised.append(next_epoch(record.epoch))
        elif -1 < record.as_of < low - 1:
            gaps[number] = _replaced(record, standing, as_of=low - 1)
            lost += low - 1 - record.as_of
    epoch = max(raised)
    return {p: msgspec.structs.replace(r, epoch=epoch) for p, r in anew.items()}, gaps, lost


def _replaced(record: Progress, standing: Standing, *, as_of: int) -> Progress:
    return msgspec.structs.replace(
        record, as_of=as_of, lag=None, topic_id=standing.origin.topic_id or record.topic_id
    )


def _sentences(settings: Settings, plan: _Plan) -> Iterator[str]:
    events = settings.topic("events")
    if plan.anew:
        yield (
            f"{events} is another log than the state was made from: "
            f"{counted(len(plan.anew), 'partition')} will go on with their state at the beginning "
            "of what is there (all that stands there is taken as not applied)"
        )
    if plan.gaps:
        yield (
            f"retention has removed {counted(plan.lost, 'record')} of {events} that were never "
            f"applied: {counted(len(plan.gaps), 'partition')} will go on without them"
        )
    if plan.growth is not None:
        yield from plan.growth.sentences(settings)
    if plan.models:
        names = ", ".join(sorted(each.name for each in plan.models))
        yield f"the inputs of the models were made anew: {names} will go on at their beginning"
    yield from plan.actions.sentences()


async def _adopt(settings: Settings, admin: Admin, plan: _Plan, work: Work) -> Report:
    report = Report("adopt", "adopted")
    report.counts = {
        "partitions on a new log": len(plan.anew),
        "lost events": plan.lost,
        "models": len(plan.models),
    }
    records = plan.anew | plan.gaps
    async with writing(settings) as writer:
        await writer.write("models", 0, rebased(settings, plan.standing, plan.models))
        if plan.growth is None:
            for number, record in records.items():
                await writer.write("state", number, [progress_message(record)])
        else:
            count = plan.growth.partitions
            report.topics = grow_topics(settings, admin, count)
            held = plan.standing.records | records
            report.counts |= await grow(settings, plan.growth, held, work, writer)
            if settings.partitions != count:
                report.then = f"set CRM_PARTITIONS={count} for all workers before you start them"
        async with Scan(settings, work) as scan:
            await plan.actions.adopt(scan, writer)
    return report
