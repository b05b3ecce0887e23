"""What a processor counts."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figures"]


@dataclass(slots=True)
class Figures:
    """What a processor did since it was made.

    Parameters
    ----------
    events, batches
        Applied.
    seconds
        Spent in the machine.
    stale
        Batches dropped because a rebalance had overtaken them; their records are read again.
    corrected
        Records written because another worker wrote older ones behind ours.
    lease_losses
        How often all was let go of because the group's lease had lapsed.
    restored, restore_seconds
        Records read back from the state topic, and the time it took.
    """

    events: int = 0
    batches: int = 0
    seconds: float = 0.0
    stale: int = 0
    corrected: int = 0
    lease_losses: int = 0
    restored: int = 0
    restore_seconds: float = 0.0
