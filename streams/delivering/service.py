"""The role `deliver` as a service: no Faust app, since each endpoint is a group of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from mode import Service

from streams.figures import RoleFigures
from streams.health import RoleHealth
from streams.watchdog import Probe, Seen, Watchdog

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from streams.roles.deliver import DeliverRole, Delivery
    from streams.roles.tasks import Stop

__all__ = ["DeliverService"]

LOOKS: Final = 10  # within stall_seconds
LONGEST_LOOK_SECONDS: Final = 10.0


class DeliverService(Service):
    """Opens the role, watches its reading, and says how it is.

    Parameters
    ----------
    role
        Does the work.
    settings
        Of the whole program.
    stop
        Ends the process with a reason.
    """

    def __init__(self, role: DeliverRole, settings: Settings, stop: Stop) -> None:
        super().__init__()
        self.role: Final = role
        self._settings = settings
        self._stop_process = stop
        self._opened = self._stalled = False
        topics = [settings.topic(noun) for noun in role.nouns]
        self._watchdogs = {
            name: Watchdog(f"deliver ({name})", topics, settings.stall_seconds)
            for name in role.deliveries
        }

    async def on_start(self) -> None:
        """Open the role."""
        await super().on_start()
        await self.role.open()
        self._opened = True
        self.add_future(self._watch())

    async def on_stop(self) -> None:
        """Close the role."""
        await self.role.close()
        await super().on_stop()

    def health(self) -> RoleHealth:
        """Say how the role is; an endpoint that is disabled is told, and no fault of the worker."""
        if self._stalled or not self._opened:
            return RoleHealth("stalled" if self._stalled else "starting")
        deliveries = self.role.deliveries.values()
        disabled = [each.endpoint.name for each in deliveries if each.standing.disabled]
        waits_for = f"endpoints to be enabled: {', '.join(disabled)}" if disabled else ""
        waits_for = waits_for or next((w.waits_for for w in self._watchdogs.values()), "")
        outboxes = [each.outbox for each in deliveries if not each.standing.disabled]
        if not all(outbox is not None and outbox.joined for outbox in outboxes):
            return RoleHealth("joining", waits_for=waits_for)
        found = [outbox for outbox in outboxes if outbox is not None]
        partitions = sum(len(outbox.positions()) for outbox in found)
        state = "running" if partitions or not found else "standby"
        lag = sum(sum(outbox.lags().values()) for outbox in found)
        return RoleHealth(state, partitions, lag, waits_for)

    def figures(self) -> RoleFigures:
        """Say what came of webhooks so far, and how far behind their endpoints are."""
        deliveries = self.role.deliveries
        webhooks = {
            (name, result): count
            for name, each in deliveries.items()
            for result, count in each.courier.results.items()
        }
        lag: Counter[tuple[str, int]] = Counter()
        for each in deliveries.values():
            if each.outbox is not None:
                lag.update({(tp.topic, tp.partition): n for tp, n in each.outbox.lags().items()})
        return RoleFigures(
            consumed=sum(n for (_, result), n in webhooks.items() if result != "attempts"),
            produced=sum(n for (_, result), n in webhooks.items() if result == "delivered"),
            lag=lag,
            webhooks=webhooks,
            disabled={name: each.standing.disabled for name, each in deliveries.items()},
        )

    async def _watch(self) -> None:
        probe = Probe(self._settings)
        try:
            while True:
                topics = await probe.topics()
                for name, delivery in self.role.deliveries.items():
                    await self._look(self._watchdogs[name], delivery, probe, topics)
                await asyncio.sleep(min(self._settings.stall_seconds / LOOKS, LONGEST_LOOK_SECONDS))
        except Exception as error:  # noqa: BLE001 - a stall, or a bug: never a silent end
            self._stalled = True
            self._stop_process(error)
        finally:
            await probe.close()

    async def _look(
        self, watchdog: Watchdog, delivery: Delivery, probe: Probe, topics: frozenset[str] | None
    ) -> None:
        outbox = delivery.outbox
        if outbox is None:
            watchdog.look(Seen(None, {}, "the endpoint", joined=True), topics, {})
            return
        positions: Any = outbox.positions()
        ends = await probe.ends(positions) if topics is not None and positions else {}
        waits_for = "the endpoint" if outbox.busy else ""
        watchdog.look(Seen(positions, positions, waits_for, joined=outbox.joined), topics, ends)
