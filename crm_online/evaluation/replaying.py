"""A history replayed through the product's own scorer and learner, and what it published."""

from __future__ import annotations

from collections.abc import Iterable

from crm_online.evaluation.gathering import Gathering
from crm_online.settings import Settings
from crm_online.simulation.offline import score_history
from crm_online.simulation.replay import Step

__all__ = ["replayed"]


def replayed(steps: Iterable[Step], settings: Settings) -> Gathering:
    """Score and learn from a planned replay, labels delayed; returns what was published.

    Parameters
    ----------
    steps
        From `plan_replay`.
    settings
        Of the whole program.
    """
    gathering = Gathering()
    for _ in gathering.watch(score_history(steps, settings)):
        pass
    return gathering
