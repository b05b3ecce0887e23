"""The control group: who is left alone, by a salted hash and nothing else."""

from __future__ import annotations

from hashlib import blake2b

from crm_online.actions.rules import Control
from crm_online.customers.state import DAY

__all__ = ["in_control", "period_of"]


def period_of(at: float, control: Control) -> str:
    """Name the period in which groups stay as they are.

    Examples
    --------
    >>> period_of(1_711_843_200.0, Control())
    '660'
    """
    return str(int(at // (control.period_days * DAY)))


def in_control(customer: str, action: str, period: str, control: Control) -> bool:
    """Tell whether a customer is in the control group of an action in a period.

    Examples
    --------
    >>> groups = [in_control(f"c-{n}", "win-back", "660", Control()) for n in range(10_000)]
    >>> 900 < sum(groups) < 1100
    True
    """
    text = f"{control.salt}\0{action}\0{period}\0{customer}".encode()
    drawn = int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
    return drawn < control.share * 2.0**64
