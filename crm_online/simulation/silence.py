"""Dates that cannot be right: time must not leap over all that is known."""

from __future__ import annotations

from math import inf

from crm_online.simulation.raw import RawEvent

__all__ = ["Silence"]


class Silence:
    """Leaves out what comes too long after all before it.

    One row of the year 2099 would settle every open prediction, of customers whose end nobody
    saw. So an event that is further ahead than a silence of all customers may last is left out,
    and time stays where the data is. Events without a customer have no time of their own: they
    pass.

    Parameters
    ----------
    longest
        Seconds that nobody may do anything.

    Examples
    --------
    >>> silence = Silence(longest=100.0)
    >>> [silence.allows(RawEvent(at, "c", b"")) for at in (0.0, 60.0, 4e9, 90.0)]
    [True, True, False, True]
    >>> silence.left_out, silence.first, silence.newest
    (1, 4000000000.0, 90.0)
    """

    def __init__(self, longest: float = inf) -> None:
        self.longest = longest
        self.newest = -inf
        self.left_out = 0
        self.first = inf  # of what was left out
        self.widest = (0.0, 0.0)  # from when to when nobody did anything

    def allows(self, event: RawEvent) -> bool:
        """Tell whether an event may follow those before it; counts it where not."""
        if not event.customer:
            return True
        if self.newest > -inf:
            if event.at - self.newest > self.longest:
                self.left_out += 1
                self.first = min(self.first, event.at)
                return False
            if event.at - self.newest > self.widest[1] - self.widest[0]:
                self.widest = self.newest, event.at
        self.newest = max(self.newest, event.at)
        return True
