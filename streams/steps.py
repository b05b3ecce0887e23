"""Small readings shared by the commands that put a history on a log."""

from __future__ import annotations

from crm_online.customers.state import DAY
from crm_online.errors import ConfigurationError

__all__ = ["parse_max_ahead"]


def parse_max_ahead(text: str) -> float | None:
    """Read days of event time, or ``none``; returns seconds.

    Examples
    --------
    >>> parse_max_ahead("1"), parse_max_ahead("none")
    (86400.0, None)
    """
    if text.strip().lower() == "none":
        return None
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0.0 < days < float("inf"):
        raise ConfigurationError("--max-ahead takes days above zero, such as 1 or 0.5, or none")
    return days * DAY
