"""What a processor counts, and what every role says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Figures", "RoleFigures"]


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


@dataclass(frozen=True, slots=True)
class RoleFigures:
    """What one role has done since it started, and how far it is: for `/metrics` and the topic.

    Parameters
    ----------
    consumed, produced
        Records read and applied, and records delivered.
    batches, batch_seconds
        Batches applied, and the time that took.
    restored, restore_seconds
        Records read back at restores, and the time that took.
    lag
        Topic and partition to the records known of there and not done with.
    rejected
        Reason to the dead letters it had.
    repairs
        Rule and sending library to how many events were cleaned by it.
    models_at
        Model to when the newest snapshot in use was published, seconds since 1970.
    newest
        When the newest record done with was written to its topic, seconds since 1970.
    quality
        Model, window and figure to its value, from settled predictions.
    moves
        Segment before and after to how many customers went that way.
    actions
        Action and status, such as ``sent``, to how many decisions.
    webhooks
        Endpoint and result, such as ``delivered``, to how many actions.
    disabled
        Endpoint to whether it is disabled.
    """

    consumed: int = 0
    produced: int = 0
    batches: int = 0
    batch_seconds: float = 0.0
    restored: int = 0
    restore_seconds: float = 0.0
    lag: Mapping[tuple[str, int], int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    repairs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    models_at: Mapping[str, float] = field(default_factory=dict)
    newest: float | None = None
    quality: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    moves: Mapping[tuple[str, str], int] = field(default_factory=dict)
    actions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    webhooks: Mapping[tuple[str, str], int] = field(default_factory=dict)
    disabled: Mapping[str, bool] = field(default_factory=dict)
