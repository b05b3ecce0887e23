"""One run: start, feed, disturb, let settle, stop, compare."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crm_online.errors import CrmOnlineError
from streams.topics import create_missing
from streams.verify.checks import Check
from streams.verify.comparing import Outcome, compare
from streams.verify.feeding import Feed
from streams.verify.progress import Progress, settle
from streams.verify.schedule import Disturbance, Kind, Wanted, duration, plan
from streams.verify.workers import ENTRY, STOP_SECONDS, Fleet

if TYPE_CHECKING:
    from streams.verify.servers import Servers

__all__ = ["Figures", "Run", "Trial"]

MOST_PER_SECOND: Final = 5000.0
POLL_SECONDS: Final = 0.1
TOO_MANY_DEATHS: Final = 30

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """What a run is to be like.

    Parameters
    ----------
    events, workers, seed
        Length of the stream, workers at the beginning, and what decides everything random.
    wanted
        How often the job is disturbed.
    entry
        Command line of a worker.
    """

    events: int
    workers: int
    seed: int
    wanted: Wanted = field(default_factory=Wanted)
    entry: Sequence[str] = ENTRY


@dataclass(slots=True)
class Figures:
    """What a run came to.

    Parameters
    ----------
    done
        How many disturbances there were, by kind.
    deaths
        What workers said that ended by themselves.
    outcome
        Of the comparison.
    scored_while_disturbed
        How many scores stood there when the last disturbance was over.
    seconds
        From the first event until all was applied, learned and cached.
    """

    done: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    deaths: list[str] = field(default_factory=list)
    outcome: Outcome = field(default_factory=lambda: Outcome(0, 0, []))
    longest_stall_seconds: float = 0.0
    scored_while_disturbed: int = 0
    seconds: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether nothing is missing, nothing wrong, and everything was done in the end."""
        return bool(self.outcome.checks) and all(check.exact for check in self.outcome.checks)


class Run:
    """One run against servers that answer.

    Parameters
    ----------
    trial
        What to do.
    servers
        Where.
    folder
        For the workers' logs.
    say
        Takes lines on how far it is.
    """

    def __init__(self, trial: Trial, servers: Servers, folder: Path, say: Say) -> None:
        self._trial = trial
        self._servers = servers
        self._settings = servers.settings
        self._say = say
        self._folder = folder
        self._progress = Progress(self._settings)
        self._under_way: set[asyncio.Task[None]] = set()
        self.figures = Figures()

    async def run(self) -> Figures:
        """Do all of it; afterwards no worker runs."""
        await asyncio.to_thread(create_missing, self._settings)
        fleet = Fleet(self._settings, self._folder, self._trial.entry)
        try:
            unfinished = await self._beside(self._disturbed(fleet))
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            fleet.end()
            self.figures.deaths = fleet.deaths
        self._say("comparing with an undisturbed run over the same log")
        self.figures.outcome = await compare(self._settings)
        self.figures.outcome.checks.append(_check_end(unfinished))
        self.figures.longest_stall_seconds = self._progress.longest_stall_seconds
        return self.figures

    async def _beside(self, work: Coroutine[Any, Any, str]) -> str:
        watching = asyncio.ensure_future(self._progress.watch())
        try:
            return await work
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _disturbed(self, fleet: Fleet) -> str:
        trial = self._trial
        disturbances = plan(
            trial.wanted,
            seed=trial.seed,
            workers=trial.workers,
            session_timeout_seconds=self._settings.session_timeout_seconds,
        )
        fleet.wanted = trial.workers
        fleet.mend()
        rate = min(trial.events / duration(disturbances), MOST_PER_SECOND)
        began = time.monotonic()
        async with Feed(self._settings, trial.events, trial.seed, rate, self._applied) as feed:
            for each in disturbances:
                while feed.share < each.at:
                    await self._rest(fleet, feed)
                self._begin(each, fleet)
            while feed.share < 1.0 or self._under_way:
                await self._rest(fleet, feed)
            self.figures.scored_while_disturbed = self._progress.scored
            await feed.finish()
        self._say("all is sent: waiting until it is applied, learned and cached")
        unfinished = await settle(self._settings, self._progress, lambda: self._keep(fleet))
        self.figures.seconds = time.monotonic() - began
        await self._stop(fleet)
        return unfinished

    def _applied(self) -> int:
        return self._progress.applied

    async def _rest(self, fleet: Fleet, feed: Feed) -> None:
        feed.check()
        self._keep(fleet)
        self._say(
            f"sent {feed.share:.0%}, scored {self._progress.scored:,}, "
            f"{len(fleet.running)} workers, {sum(self.figures.done.values())} disturbances"
        )
        await asyncio.sleep(POLL_SECONDS)

    def _keep(self, fleet: Fleet) -> None:
        fleet.mend()
        for task in [task for task in self._under_way if task.done()]:
            self._under_way.discard(task)
            task.result()
        if len(fleet.deaths) > TOO_MANY_DEATHS:
            raise CrmOnlineError(f"workers end by themselves again and again: {fleet.deaths[-1]}")

    def _begin(self, each: Disturbance, fleet: Fleet) -> None:
        self._under_way.add(asyncio.ensure_future(self._disturb(each, fleet)))

    async def _disturb(self, each: Disturbance, fleet: Fleet) -> None:
        if each.kind is Kind.BROKER:
            await self._servers.restart_broker(each.seconds, crash=each.pick % 2 == 0)
        elif each.kind is Kind.CACHE:
            await self._servers.cut_cache(each.seconds, crash=each.pick % 2 == 0)
        elif each.kind is Kind.JOIN:
            fleet.wanted += 1
        else:
            await self._hurt(each, fleet)
        self.figures.done[each.kind] += 1

    async def _hurt(self, each: Disturbance, fleet: Fleet) -> None:
        while (worker := fleet.pick(each.pick)) is None:  # noqa: ASYNC110 - a process
            await asyncio.sleep(POLL_SECONDS)
        if each.kind is Kind.KILL:
            worker.signal(signal.SIGKILL)
        elif each.kind is Kind.LEAVE:
            fleet.wanted -= 1
            worker.leaving = True
            worker.signal(signal.SIGTERM)
        elif each.kind is Kind.PAUSE:
            worker.paused = True
            worker.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(each.seconds)
            finally:
                worker.signal(signal.SIGCONT)
                worker.paused = False

    async def _stop(self, fleet: Fleet) -> None:
        """Stop all workers in order."""
        fleet.wanted = 0
        for worker in fleet.running:
            if worker.code() is None:
                worker.leaving = True
                worker.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while fleet.running and time.monotonic() < deadline:
            fleet.mend()
            await asyncio.sleep(POLL_SECONDS)
        fleet.deaths += [f"{w.log.name} did not stop: {w.last_words()}" for w in fleet.running]


def _check_end(unfinished: str) -> Check:
    check = Check("all got done", expected=1, found=int(not unfinished))
    if unfinished:
        check.miss(unfinished)
    return check
