"""The role `web`: no Faust app and no group; it lives in the thread of the HTTP server."""

from __future__ import annotations

from dataclasses import dataclass

from streams.figures import RoleFigures
from streams.health import RoleHealth

__all__ = ["WebRole"]


@dataclass(slots=True)
class WebRole:
    """How the role is, and what it has done: single values, which another thread may read.

    Parameters
    ----------
    state, waits_for
        As `RoleHealth` has them.
    accepted
        Events that Kafka has taken from the intake.
    stopping
        Whether the server is about to end, and open dashboards with it.
    """

    state: str = "starting"
    waits_for: str = ""
    accepted: int = 0
    stopping: bool = False

    def health(self) -> RoleHealth:
        """Say how the role is: a cache that is away is no reason to refuse events."""
        return RoleHealth(self.state, waits_for=self.waits_for)

    def figures(self) -> RoleFigures:
        """Say what was done so far."""
        return RoleFigures(produced=self.accepted)
