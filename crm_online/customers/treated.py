"""Actions whose outcome is awaited, as they rest in a customer's state."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["NEVER", "Treated"]

NEVER: Final = (-1, -1, 0, 0.0, 0)


class Treated(msgspec.Struct, array_like=True, gc=False):
    """An action whose outcome is awaited.

    Parameters
    ----------
    action_id, action, period
        As on ``crm.actions``.
    control
        The customer is in the control group: nothing was sent.
    at
        When it was decided, seconds.
    spend
        Gross spend of the customer when it came to be known, minor units.
    share, first
        As in `crm_online.deciding.Treatment`.
    """

    action_id: str
    action: str
    period: str
    control: bool
    at: float
    spend: int
    share: float = 0.0
    first: bool = True
