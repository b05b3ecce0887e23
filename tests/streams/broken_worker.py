"""A worker with one rule switched off, and a stall at the place where that rule matters.

Run as ``broken_worker.py RULE FOLDER``; a rule that ends in ``-kept`` stalls at the same place and
breaks nothing. Each stall happens once in a run: the folder remembers it.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from crm_online.customers.state import DAY
from crm_online.simulation.population_settings import PopulationSettings

PATIENCE_SECONDS: Final = 20.0
STEPS: Final = 12  # of one worker, before its stall: there must be something to lose
# Two thirds of the 88 days of the stream; customers expire after 50.
LATE: Final = PopulationSettings().start + 56 * DAY


class Stalls:
    """Named places where a worker is held up, or dies, once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._passed: dict[str, int] = {}

    def comes(self, place: str, after: int = 0) -> bool:
        """Tell whether it is time: once in a run, after so many passes of this worker."""
        self._passed[place] = self._passed.get(place, 0) + 1
        if self._passed[place] <= after:
            return False
        try:
            (self._folder / place).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def tell(self, place: str, what: object) -> None:
        """Let the other workers know."""
        written = self._folder / f"{place}.{os.getpid()}"
        written.write_bytes(pickle.dumps(what))
        written.rename(self._folder / f"{place}.told")  # whole, or not there

    def told(self, place: str, before: object) -> Any:
        """Return what a worker told, or what holds before it did."""
        told = self._folder / f"{place}.told"
        return pickle.loads(told.read_bytes()) if told.exists() else before

    def wait_for(self, place: str) -> None:
        """Stand still, the event loop as well, until a worker told this."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (self._folder / f"{place}.told").exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    def die(self, place: str) -> None:
        if self.comes(place, STEPS):
            os.kill(os.getpid(), signal.SIGKILL)


class StaleSnapshots:
    """Brings about that the last snapshots of some customers are stale when they are restored.

    One worker is stopped between outputs and snapshots. Its successor wakes it behind newer
    snapshots of those customers, and dies as soon as the stale ones are there: before it could
    write over them, and with its own record ahead of them. The woken one dies before its record,
    which would have the next owner read those customers' events again.
    """

    def __init__(self, stalls: Stalls) -> None:
        self._stalls = stalls
        self._in_hand: Any = None

    def stop(self, effects: Any) -> None:
        # So late that no customer in hand expires before the end, and with that the difference.
        if len(effects.snapshots) < 3 or _watermark(effects) < LATE:
            return
        if self._stalls.comes("outputs-snapshots"):
            self._in_hand = effects
            self._stalls.tell("in hand", (os.getpid(), _activities(effects)))
            os.kill(os.getpid(), signal.SIGSTOP)

    def die(self, effects: Any) -> None:
        if effects is self._in_hand:
            self._stalls.tell("stale snapshots", None)
            os.kill(os.getpid(), signal.SIGKILL)

    def wake(self, effects: Any) -> None:
        pid, stale = self._stalls.told("in hand", (0, {}))
        overtaken = any(stale.get(key, n) < n for key, n in _activities(effects).items())
        if overtaken and self._stalls.comes("record"):
            os.kill(pid, signal.SIGCONT)
            self._stalls.wait_for("stale snapshots")
            os.kill(os.getpid(), signal.SIGKILL)


def _watermark(effects: Any) -> float:
    from crm_online.customers.progress import read_progress

    return -1.0 if effects.progress is None else read_progress(effects.progress.value).watermark


def _activities(effects: Any) -> dict[bytes, int]:
    from crm_online.customers.store import decode_state

    changed = [each for each in effects.snapshots if each.value is not None]
    return {each.key: decode_state(each.value).activities for each in changed}


def stale_restore(stalls: Stalls, *, broken: bool) -> None:
    """Restore the last snapshot of a key, and let those stand that a stopped worker wrote late."""
    from crm_online.customers import partition, progress
    from streams import processor

    late = StaleSnapshots(stalls)
    _write_without_a_lease()
    _pass_through_finish(
        before_snapshots=late.stop, behind_snapshots=late.die, behind_record=late.wake
    )
    if not broken:
        return

    def apply(self: Any, records: Iterable[Any]) -> int:
        taken = 0
        for taken, record in enumerate(records, 1):  # noqa: B007 - the last one is returned
            if record.key[:1] == b"\0":
                self._partition.progress = progress.read_progress(record.value)
            elif record.value is None:
                self._packed.pop(record.key.decode(), None)
            else:
                self._packed[record.key.decode()] = record.value
        return taken

    async def leave(self: Any, partition: int, effects: Any) -> None:
        pass

    partition.PartitionRestore.apply = apply  # type: ignore[method-assign]
    processor.Processor._write_again = leave  # type: ignore[method-assign]


def _write_without_a_lease() -> None:
    """Let a worker that wakes up write what it had in hand: a lease only narrows that window."""
    from streams import lease

    lease.Lease.holds = lambda self: True  # type: ignore[method-assign]
    lease.Lease.lapsed = lambda self: False  # type: ignore[method-assign]


def early_commit(stalls: Stalls, *, broken: bool) -> None:
    """Write the partition's own record first; one worker dies right behind it."""
    if broken:
        _pass_through_finish(
            before_snapshots=lambda _: stalls.die("record-snapshots"), record_first=True
        )
    else:
        _pass_through_finish(before_snapshots=lambda _: stalls.die("outputs-snapshots"))


def _pass_through_finish(
    *,
    before_snapshots: Callable[[Any], None],
    behind_snapshots: Callable[[Any], None] = lambda _: None,
    behind_record: Callable[[Any], None] = lambda _: None,
    record_first: bool = False,
) -> None:
    from streams import finisher

    async def finish(
        self: Any, partition: int, effects: Any, outputs: Sequence[Awaitable[Any]]
    ) -> None:
        record = [effects.progress] if effects.progress is not None else []
        if record and record_first:
            await self._deliver(partition, record)
        await asyncio.gather(*outputs)
        before_snapshots(effects)
        if effects.snapshots:
            await self._deliver(partition, effects.snapshots)
        behind_snapshots(effects)
        if record and not record_first:
            await self._deliver(partition, record)
        behind_record(effects)
        if record:
            self.progress[partition] = effects.as_of

    finisher.Finisher._finish = finish  # type: ignore[method-assign]


def no_rewind(stalls: Stalls, *, broken: bool) -> None:
    """Leave new partitions where they are; a fetch comes back while the first are restored."""
    from faust.transport.consumer import Consumer as Stock

    from streams import batches, transport

    perform_seek = transport.Consumer.perform_seek
    if broken:  # a second guard, which would end the worker before any harm is done
        batches.Batch.follow = lambda *_: None  # type: ignore[method-assign]

    async def fetched_meanwhile(self: Any) -> None:
        fetcher = self._thread._ensure_consumer()._fetcher

        async def fetch() -> None:
            await fetcher.fetched_records([], timeout=5.0, max_records=100)

        await self._thread.call_thread(fetch)

    async def seek(self: Any) -> None:
        scores = any(topic.endswith(".events") for topic in self.app.owners)
        if scores and stalls.comes("restore"):
            await fetched_meanwhile(self)
        if broken:
            await Stock.perform_seek(self)
            self._positioned = True
        else:
            await perform_seek(self)

    transport.Consumer.perform_seek = seek  # type: ignore[method-assign]


def no_dedupe(stalls: Stalls, *, broken: bool) -> None:
    """Apply an event whose id was seen before."""
    from crm_online import stepping

    if broken:
        vars(stepping)["is_duplicate"] = lambda *_: False


def no_marks(stalls: Stalls, *, broken: bool) -> None:
    """Learn what was learned before; one worker dies between outputs and snapshots."""
    from crm_online import slots

    def stall(effects: Any) -> None:
        if "outcomes" in effects.outputs:
            stalls.die("outputs-snapshots")

    _pass_through_finish(before_snapshots=stall)

    def apply(self: Any, offset: int, outcome: Any, *_: Any) -> None:
        if offset > self.offset:
            self.offset = offset
            self.changed |= self._heartbeat
            self.changed |= self._learn(self.model, outcome)

    if broken:
        slots.Slot.apply = apply  # type: ignore[method-assign,assignment]


def older_writes(stalls: Stalls, *, broken: bool) -> None:
    """Let the cache take any write; each worker's first is held up until it ends."""
    from hashlib import sha1

    from crm_online.sinks.redis import connection, writer
    from streams.roles import cache

    if broken:
        script = connection.SCRIPT.replace("if order < 0 then return end", "")
        vars(connection)["SCRIPT"] = script
        name = sha1(script.encode(), usedforsecurity=False).hexdigest()
        vars(writer)["SCRIPT_SHA"] = name
    write, close = cache.CacheRole._write, cache.CacheRole.close
    first: dict[str, Sequence[Any]] = {}

    async def held(self: Any, records: Mapping[str, Sequence[Any]]) -> None:
        for noun, some in records.items():
            first.setdefault(noun, some)
        await write(self, records)

    async def late(self: Any) -> None:
        await write(self, first)
        await close(self)

    cache.CacheRole._write = held  # type: ignore[method-assign]
    cache.CacheRole.close = late  # type: ignore[method-assign]


RULES: Final[dict[str, Callable[..., None]]] = {
    "stale-restore": stale_restore,
    "early-commit": early_commit,
    "no-rewind": no_rewind,
    "no-dedupe": no_dedupe,
    "no-marks": no_marks,
    "older-writes": older_writes,
}


def main() -> None:
    rule, folder = sys.argv[1:]
    RULES[rule.removesuffix("-kept")](Stalls(Path(folder)), broken=not rule.endswith("-kept"))
    from streams.cli import main as run

    sys.argv = ["crm-online", "worker", "--roles", "all"]
    run()


if __name__ == "__main__":
    main()
