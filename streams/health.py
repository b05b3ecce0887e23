"""`/health/live` and `/health/ready`: whether a worker must be restarted, and whether it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["RoleHealth", "said"]

# States of a role in which all is well; docs/operations.md has the others.
WELL: Final = frozenset({"running", "standby"})


@dataclass(frozen=True, slots=True)
class RoleHealth:
    """How one role is.

    Parameters
    ----------
    state
        ``starting``, ``joining``, ``restoring``, ``running``, ``standby``, ``waiting``, ``lost``
        or ``stalled``.
    partitions
        How many it reads.
    lag
        Records known of on them and not done with.
    waits_for
        What is away; empty where nothing is.
    restored, to_restore
        Records read back by the restore that runs, and offsets that it has yet to read.
    """

    state: str
    partitions: int = 0
    lag: int = 0
    waits_for: str = ""
    restored: int = 0
    to_restore: int = 0

    @property
    def live(self) -> bool:
        """Whether it goes on by itself: waiting for others is no reason to end."""
        return self.state != "stalled"

    @property
    def ready(self) -> bool:
        """Whether it has its partitions and their states, and does its work."""
        return self.state in WELL


def said(question: str, roles: Mapping[str, RoleHealth]) -> tuple[bool, dict[str, Any]]:
    """Answer for a whole worker: the answer, and the body that says so.

    Parameters
    ----------
    question
        ``"live"`` or ``"ready"``.
    roles
        How each is, by name.

    Examples
    --------
    >>> said("ready", {"score": RoleHealth("restoring")})[0]
    False
    """
    met = all(getattr(role, question) for role in roles.values())
    return met, {question: met, "roles": {name: asdict(role) for name, role in roles.items()}}
