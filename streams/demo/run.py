"""Starts the embedded parts, runs every role in this process, feeds, shows, checks, stops."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvloop
from pydantic import SecretStr
from rich.console import Console
from rich.live import Live

from crm_online.customers.state import DAY
from crm_online.settings import Settings
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import RawEvent
from crm_online.simulation.replay import Pace, Send, Step, plan_replay
from crm_online.sinks.redis import CacheReader, connect
from streams.configuration import only
from streams.demo.board import Board
from streams.demo.promises import Promise, promises
from streams.demo.view import line, panels
from streams.demo.watching import watching
from streams.embedded import MockBroker, Valkey
from streams.embedded.server import free_ports
from streams.feeding import feed
from streams.logs import configure_logs
from streams.progress import Stage, progress_bar
from streams.reporting import Reported
from streams.topics import plan
from streams.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run_demo"]

PARTITIONS: Final = 4  # what the embedded broker gives every topic
DAYS: Final = 120.0
HORIZON_DAYS: Final = 14.0
RULES: Final = Path(__file__).with_name("rules.toml")
LONG_AGO_SECONDS: Final = 100 * 365 * DAY  # a history is no backfill here
METRICS_SECONDS: Final = 2.0
MOST_AHEAD: Final = 5_000  # events
GATE_SECONDS: Final = 0.05
LAST_SECONDS: Final = 20.0
LINE_SECONDS: Final = 3.0
NEXT: Final = {
    "score FILE --format csv --customer COLUMN --at COLUMN": "your own history, without Kafka",
    "worker": "the service, on your Kafka (CRM_KAFKA) and Redis (CRM_REDIS)",
    "replay FILE --format segment": "a history onto your Kafka",
    "show CUSTOMER": "all that the cache knows of one customer",
}


def run_demo(seconds: float, customers: int, seed: int, *, hold: bool) -> int:
    """Run the demo; returns 0 where all its promises held, else 1.

    Parameters
    ----------
    seconds
        How long events come; starting and ending add some.
    customers, seed
        Of the population.
    hold
        Whether to keep everything open at the end until interrupted.
    """
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop in order
    configure_logs(logging.ERROR)
    console.print("Starting a broker and a Valkey of its own.")
    population = Population(PopulationSettings(customers=customers, days=DAYS, seed=seed))
    (port,) = free_ports(1)
    with MockBroker() as broker, Valkey() as cache:
        settings = only(  # whatever the environment says of servers that are not ours
            app="demo",
            kafka=broker.address,
            redis=SecretStr(cache.url),
            partitions=PARTITIONS,
            declare_topics=False,
            fetch_max_wait_seconds=0.05,
            horizon_days=HORIZON_DAYS,
            max_batch=500,
            metrics_publish_seconds=METRICS_SECONDS,
            rules_file=RULES,
            max_action_age_seconds=LONG_AGO_SECONDS,
            web_port=port,
        )
        broker.create_topics({topic.name: topic.partitions for topic in plan(settings)})
        return uvloop.run(_run(settings, population, seconds, console, hold=hold))


async def _run(
    settings: Settings, population: Population, seconds: float, console: Console, *, hold: bool
) -> int:
    board, worker = Board(population), Worker(settings, ["score", "learn", "act", "cache", "web"])
    address = f"http://{settings.web_host}:{settings.web_port}/"
    async with AsyncExitStack() as parts:
        with progress_bar(lambda: Stage("starting", None)):
            await parts.enter_async_context(worker.running())
        console.print(f"The dashboard is open at [link={address}]{address}[/link]")
        await parts.enter_async_context(watching(settings, board, worker.fail))
        readers = [worker.apps[role] for role in ("act", "cache")]
        pace = Pace(DAYS * DAY / seconds, time.monotonic)
        events = _until(time.monotonic() + seconds, population.events())
        steps = _counted(plan_replay(events, None), board)
        feeding = asyncio.ensure_future(
            feed(steps, settings, pace=pace, gate=lambda: _caught_up(board, readers))
        )
        failing = asyncio.ensure_future(worker.failure())
        with _shown(board, console) as show:
            while not feeding.done():
                await asyncio.wait(
                    {feeding, failing}, timeout=0.5, return_when=asyncio.FIRST_COMPLETED
                )
                if failing.done():
                    feeding.cancel()
                    await failing
                show()
            board.sent = feeding.result().sent
            checked = await _settle(settings, board, show)
        failing.cancel()
        with suppress(asyncio.CancelledError):
            await failing
        code = _end(checked, console)
        if hold:
            console.print(f"\nThe dashboard stays open at {address}; Ctrl-C ends it.")
            await _interrupted()
    return code


async def _interrupted() -> None:
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    await told.wait()


async def _settle(settings: Settings, board: Board, show: Callable[[], None]) -> list[Promise]:
    """Check until all promises hold, or time is up: the last outputs are still on their way."""
    deadline = time.monotonic() + LAST_SECONDS
    while True:
        checked = promises(board, await _cached(settings, board))
        if all(promise.held for promise in checked) or time.monotonic() > deadline:
            return checked
        await asyncio.sleep(0.5)
        show()


async def _cached(settings: Settings, board: Board) -> dict[str, Any]:
    client = connect(settings)
    try:
        reader = CacheReader(settings, client)
        found = {customer: await reader.customer(customer) for customer in list(board.latest)}
        return {c: one["scores"] for c, one in found.items() if one is not None}
    finally:
        await client.aclose()


def _until(deadline: float, events: Iterator[RawEvent]) -> Iterator[RawEvent]:
    """End in time on a slow machine, too: the history is then shorter."""
    return takewhile(lambda _: time.monotonic() < deadline, events)


async def _caught_up(board: Board, readers: Sequence[Reported]) -> None:
    """Wait for the slowest of all roles: the embedded broker drops what nobody reads."""

    def lag() -> int:
        return max(board.sent - len(board.scored), *(role.health().lag for role in readers))

    while lag() > MOST_AHEAD:  # noqa: ASYNC110 - of several tasks
        await asyncio.sleep(GATE_SECONDS)


def _counted(steps: Iterator[Step], board: Board) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, Send):
            board.sent += 1
            board.at = step.event.at
        yield step


@contextmanager
def _shown(board: Board, console: Console) -> Iterator[Callable[[], None]]:
    """Show the board when asked to: live panels on a terminal, a line now and then elsewhere."""
    speed = _Speed(board)
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda: live.update(panels(board, speed.now(), speed.lag()), refresh=True)
        return
    last = 0.0

    def show() -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            console.out(line(board, speed.now(), speed.lag()), highlight=False)

    yield show


class _Speed:
    """Events scored per second over the last few looks."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._looks: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def now(self) -> float:
        self._looks = [*self._looks[-8:], (time.monotonic(), len(self._board.scored))]
        (began, before), (now, after) = self._looks[0], self._looks[-1]
        return (after - before) / max(now - began, 1e-3)

    def lag(self) -> int:
        return max(self._board.sent - len(self._board.scored), 0)


def _end(checked: list[Promise], console: Console) -> int:
    console.print("\n[bold]What was promised[/]")
    for promise in checked:
        mark = "[green]held[/]  " if promise.held else "[red]broken[/]"
        console.print(f"  {mark} {promise.sentence}", highlight=False, soft_wrap=True)
    console.print("\n[bold]Next[/]")
    for command, what in NEXT.items():
        console.print(f"  [bold]crm-online {command}[/]\n      {what}", highlight=False)
    return 0 if all(promise.held for promise in checked) else 1
