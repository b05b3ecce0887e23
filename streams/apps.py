"""One Faust app per role, each its own consumer group, so that each scales and fails alone.

``faust -A streams.apps worker`` runs all roles; ``faust -A streams.apps:score worker`` one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from streams.batches import BatchApp
from streams.connection import faust_options
from streams.roles.cache import CacheRole
from streams.roles.learn import LearnOwner, LearnRole
from streams.roles.score import ScoreRole
from streams.roles.tasks import Stop

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["ROLES", "Role", "RoleApp", "make_app"]

Role = ScoreRole | LearnRole | CacheRole
EXIT_FAILED: Final = 1


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
    """

    def __init__(self, name: str, role: Role, settings: Settings, stop: Stop) -> None:
        self.role = role
        self.companions: list[RoleApp] = []
        super().__init__(
            f"{settings.app}-{name}",
            max_batch=settings.max_batch,
            fetch_max_wait_seconds=settings.fetch_max_wait_seconds,
            stop=stop,
            **faust_options(settings),
        )

    async def on_start(self) -> None:
        """Open the role, and start the apps that live with this one: the consumer comes after."""
        await super().on_start()
        await self.role.open()
        for companion in self.companions:
            await self.add_runtime_dependency(companion)

    async def on_shutdown(self) -> None:
        """Close the role: the consumer has stopped before it."""
        await super().on_shutdown()
        await self.role.close()


def make_app(name: str, settings: Settings, stop: Stop) -> RoleApp:
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
    role = ScoreRole(settings, stop)
    app = RoleApp("score", role, settings, stop)
    events = app.batch_topic(settings.topic("events"), role.processor)

    @app.agent(events, name="score")
    async def score(stream: Any) -> None:
        await role.processor.run(stream)

    return app


def _learn(settings: Settings, stop: Stop) -> RoleApp:
    role = LearnRole(settings, stop)
    app = RoleApp("learn", role, settings, stop)
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
    app = RoleApp("cache", role, settings, stop)
    scores = app.batch_topic(settings.topic("scores"))
    recommendations = app.batch_topic(settings.topic("recommendations"))

    @app.agent(scores, name="cache_scores")
    async def cache_scores(stream: Any) -> None:
        await role.run("scores", stream)

    @app.agent(recommendations, name="cache_recommendations")
    async def cache_recommendations(stream: Any) -> None:
        await role.run("recommendations", stream)

    return app


ROLES: Final[dict[str, Callable[[Settings, Stop], RoleApp]]] = {
    "score": _score,
    "learn": _learn,
    "cache": _cache,
}


def _end_process(error: BaseException) -> None:
    """End at once: nothing may be flushed or committed behind a failure."""
    sys.stderr.write(f"crm-online: {str(error) or type(error).__name__}\n")
    sys.stderr.flush()
    os._exit(EXIT_FAILED)


def __getattr__(name: str) -> object:
    """Make an app when Faust's own command line asks for it by name."""
    if name in ROLES or name == "app":
        from streams.configuration import load  # noqa: PLC0415 - reads the environment

        settings = load()
        first, *others = ROLES if name == "app" else [name]
        made = make_app(first, settings, _end_process)
        made.companions = [make_app(other, settings, _end_process) for other in others]
        return made
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
