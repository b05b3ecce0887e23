"""When a webhook that failed is tried again: each time is a function of its id and the attempt."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import Final, NamedTuple

__all__ = ["QUICK_WAITS", "Schedule", "retry_after"]

# Between the three tries before a webhook goes to the topic of retries, in seconds.
QUICK_WAITS: Final = (0.2, 1.0)
GROWTH: Final = 4.0
JITTER: Final = 0.5


class Schedule(NamedTuple):
    """How long to wait between attempts.

    Parameters
    ----------
    first_seconds, last_seconds
        The shortest and the longest wait.
    give_up_seconds
        Nothing older than this is tried again.

    Examples
    --------
    >>> plan = Schedule(5.0, 86_400.0, 259_200.0)
    >>> [round(plan.wait("a1", attempt)) for attempt in range(1, 10)]
    [5, 22, 83, 414, 1771, 5568, 24981, 78051, 83965]
    """

    first_seconds: float
    last_seconds: float
    give_up_seconds: float

    def wait(self, webhook_id: str, attempt: int) -> float:
        """Return the seconds to wait before an attempt, counted from 1."""
        share = _share(webhook_id, attempt)
        # A power of more would be no float; the longest wait is reached long before.
        wait = self.first_seconds * GROWTH ** min(attempt - 1, 30) * (1.0 + JITTER * share)
        if wait > self.last_seconds:
            return max(self.first_seconds, self.last_seconds * (1.0 - JITTER / 4.0 * share))
        return wait

    def due(
        self, webhook_id: str, attempt: int, now: float, since: float, told: float
    ) -> float | None:
        """Return when an attempt is due, in seconds since 1970; ``None`` to give up.

        Parameters
        ----------
        webhook_id, attempt
            As for `wait`.
        now, since
            Seconds since 1970: the present, and when the action was written.
        told
            Seconds that the receiver asked us to wait.
        """
        due = now + max(self.wait(webhook_id, attempt), min(told, self.last_seconds))
        return None if due - since > self.give_up_seconds else due


def retry_after(text: str | None, now: float) -> float:
    """Read a ``retry-after`` header: seconds, or a date; 0 where it says nothing.

    Examples
    --------
    >>> retry_after("120", 0.0), retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 50.0)
    (120.0, 10.0)
    >>> retry_after("soon", 0.0), retry_after(None, 0.0)
    (0.0, 0.0)
    """
    if text is None:
        return 0.0
    if text.strip().isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a year or a zone that no date can have
        return 0.0
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.fromtimestamp(now, UTC)).total_seconds())


def _share(webhook_id: str, attempt: int) -> float:
    """Return a number from 0 up to 1 that only these two decide."""
    digest = blake2b(f"{webhook_id}.{attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
