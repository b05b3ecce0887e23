"""One Faust app per role, each its own consumer group, so that each scales and fails alone.

``faust -A streams.apps worker`` runs all roles; ``faust -A streams.apps:score worker`` one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from crm_online.errors import BrokerUnavailable
from streams.batches import BatchApp
from streams.connection import faust_options
from streams.delivering.service import DeliverService
from streams.ending import end_process
from streams.figures import RoleFigures
from streams.health import RoleHealth
from streams.lease import Lease, Pulse
from streams.options import usable
from streams.roles.act import ActRole
from streams.roles.cache import CacheRole
from streams.roles.deliver import DeliverRole
from streams.roles.learn import LearnOwner, LearnRole
from streams.roles.score import ScoreRole
from streams.roles.tasks import Stop
from streams.stacks import tell
from streams.topics import check_policies, create_missing
from streams.watchdog import Probe, Seen, Watchdog

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["ROLES", "Role", "RoleApp", "make_app"]

Role = ScoreRole | LearnRole | CacheRole | ActRole
LOOKS: Final = 10  # within stall_seconds
LONGEST_LOOK_SECONDS: Final = 10.0


class RoleApp(BatchApp):
    """A Faust app that opens its role before it joins its group, and closes it at the end.

    Parameters
    ----------
    name
        Of the role.
    role
        Does the work.
    settings
        Of the whole program.
    stop
        Ends the process with a reason.
    lease
        Of the group; the role writes by it.
    """

    def __init__(self, name: str, role: Role, settings: Settings, stop: Stop, lease: Lease) -> None:
        self.role = role
        self.companions: list[RoleApp | DeliverService] | None = None
        self._settings = settings
        self._opened = self._stalled = False
        topics = [settings.topic(noun) for noun in role.nouns]
        self._watchdog = Watchdog(name, topics, settings.stall_seconds)
        super().__init__(
            f"{settings.app}-{name}",
            max_batch=settings.max_batch,
            fetch_max_wait_seconds=settings.fetch_max_wait_seconds,
            stop=stop,
            lease=lease,
            **faust_options(settings),
        )

    async def on_start(self) -> None:
        """Open the role, and start the apps that live with this one: the consumer comes after."""
        if self.companions is not None:  # Faust's own command line runs us, and not `worker`
            await asyncio.to_thread(create_missing, self._settings)
            await asyncio.to_thread(check_policies, self._settings)
        await super().on_start()
        await self.role.open()
        self._opened = True
        self.add_future(self.watch_lease())
        self.add_future(self._watch())
        for companion in self.companions or ():
            await self.add_runtime_dependency(companion)

    async def on_shutdown(self) -> None:
        """Close the role: the consumer has stopped before it."""
        await super().on_shutdown()
        await self.role.close()

    def health(self) -> RoleHealth:
        """Say how the role is."""
        if self._stalled or not self._opened:
            return RoleHealth("stalled" if self._stalled else "starting")
        consumer: Any = self.consumer
        waits_for = self.role.waits_for or self._watchdog.waits_for
        if self.lease.lost:
            return RoleHealth("lost", waits_for=waits_for)
        if not self.lease.granted:
            return RoleHealth("joining", waits_for=waits_for)
        if not consumer.positioned:
            return RoleHealth("restoring", 0, 0, waits_for, *self.role.restoring)
        partitions = len(consumer.done())
        state = "waiting" if waits_for else "running" if partitions else "standby"
        return RoleHealth(state, partitions, consumer.lag(), waits_for)

    def figures(self) -> RoleFigures:
        """Say what the role has done so far, and how far behind it is."""
        consumer: Any = self.consumer
        positioned = self._opened and self.lease.granted and consumer.positioned
        lag = consumer.lags() if positioned else {}
        return replace(self.role.figures(), lag=lag)

    async def _watch(self) -> None:
        probe = Probe(self._settings)
        try:
            while True:
                await self._look(probe)  # at once: what is not there by then is not missed later
                await asyncio.sleep(min(self._settings.stall_seconds / LOOKS, LONGEST_LOOK_SECONDS))
        except Exception as error:  # noqa: BLE001 - a stall, or a bug: never a silent end
            self._stalled = True
            if isinstance(error, BrokerUnavailable):  # it stands still: nobody knows why
                consumer: Any = self.consumer
                tell(asyncio.all_tasks() | consumer.tasks())
            self.stop_process(error)
        finally:
            await probe.close()

    async def _look(self, probe: Probe) -> None:
        topics, consumer = await probe.topics(), cast("Any", self.consumer)
        done = consumer.done() if self.lease.granted else {}
        ends = await probe.ends(done) if topics is not None and done else {}
        progress = (done, self.role.restoring, self.consumer_generation_id)
        seen = Seen(progress, done, self.role.waits_for, joined=self.lease.granted)
        self._watchdog.look(seen, topics, ends)


def make_app(name: str, settings: Settings, stop: Stop) -> RoleApp | DeliverService:
    """Make the app of one role.

    Parameters
    ----------
    name
        One of `ROLES`.
    settings
        Of the whole program.
    stop
        Called with the reason where going on would be wrong; must end the process.
    """
    return ROLES[name](settings, stop)


def _score(settings: Settings, stop: Stop) -> RoleApp:
    lease = _lease(settings)
    role = ScoreRole(settings, stop, lease)
    app = RoleApp("score", role, settings, stop, lease)
    events = app.batch_topic(settings.topic("events"), role.processor)

    @app.agent(events, name="score")
    async def score(stream: Any) -> None:
        await role.processor.run(stream)

    return app


def _learn(settings: Settings, stop: Stop) -> RoleApp:
    lease = _lease(settings)
    role = LearnRole(settings, stop, lease)
    app = RoleApp("learn", role, settings, stop, lease)
    outcomes = app.batch_topic(settings.topic("outcomes"), LearnOwner(role, "outcomes"))
    interactions = app.batch_topic(settings.topic("interactions"), LearnOwner(role, "interactions"))

    @app.agent(outcomes, name="learn_outcomes")
    async def learn_outcomes(stream: Any) -> None:
        await role.run("outcomes", stream)

    @app.agent(interactions, name="learn_interactions")
    async def learn_interactions(stream: Any) -> None:
        await role.run("interactions", stream)

    return app


def _cache(settings: Settings, stop: Stop) -> RoleApp:
    role = CacheRole(settings, stop)
    app = RoleApp("cache", role, settings, stop, _lease(settings))
    scores = app.batch_topic(settings.topic("scores"))
    recommendations = app.batch_topic(settings.topic("recommendations"))
    actions = app.batch_topic(settings.topic("actions"))

    @app.agent(scores, name="cache_scores")
    async def cache_scores(stream: Any) -> None:
        await role.run("scores", stream)

    @app.agent(recommendations, name="cache_recommendations")
    async def cache_recommendations(stream: Any) -> None:
        await role.run("recommendations", stream)

    @app.agent(actions, name="cache_actions")
    async def cache_actions(stream: Any) -> None:
        await role.run("actions", stream)

    return app


def _act(settings: Settings, stop: Stop) -> RoleApp:
    lease = _lease(settings)
    role = ActRole(settings, stop, lease)
    app = RoleApp("act", role, settings, stop, lease)
    scores = app.batch_topic(settings.topic("scores"), role.processor)

    @app.agent(scores, name="act")
    async def act(stream: Any) -> None:
        await role.processor.run(stream)

    return app


def _deliver(settings: Settings, stop: Stop) -> DeliverService:
    return DeliverService(DeliverRole(settings, stop), settings, stop)


def _lease(settings: Settings) -> Lease:
    pulse = Pulse(settings.max_pause_seconds, end_process)
    return Lease(settings.session_timeout_seconds, pulse)


ROLES: Final[dict[str, Callable[[Settings, Stop], RoleApp | DeliverService]]] = {
    "score": _score,
    "learn": _learn,
    "cache": _cache,
    "act": _act,
    "deliver": _deliver,
}


def __getattr__(name: str) -> object:
    """Make an app when Faust's own command line asks for it by name."""
    if name in ROLES or name == "app":
        from streams.configuration import load  # noqa: PLC0415 - reads the environment

        settings = load()
        first, *others = usable(ROLES, settings) if name == "app" else [name]
        made = make_app(first, settings, end_process)
        if not isinstance(made, RoleApp):
            raise AttributeError("deliver is no Faust app: run `crm-online worker --roles deliver`")
        made.companions = [make_app(other, settings, end_process) for other in others]
        return made
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
