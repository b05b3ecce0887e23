"""crm-online: an event-driven streaming CRM scorer.

`Scorer` and `Learner` work without Kafka; the `streams` package puts them on topics.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crm_online.inprocess import InProcess
    from crm_online.learning import Learner
    from crm_online.scoring import Scorer
    from crm_online.settings import Settings

__all__ = ["InProcess", "Learner", "Scorer", "Settings"]

__version__ = "0.1.0"

_HOME = {
    "InProcess": "crm_online.inprocess",
    "Learner": "crm_online.learning",
    "Scorer": "crm_online.scoring",
    "Settings": "crm_online.settings",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: `crm-online --help` needs no model."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
