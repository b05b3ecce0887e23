"""Whether a worker may still write: proof that its group counts it in, and that it did not sleep.

A worker that was stopped, or cut off, for longer than its session timeout has lost its partitions
to others without hearing of it. What it has in hand must not go out behind theirs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from threading import Lock, Thread
from typing import Final

from aiokafka.errors import KafkaError

from crm_online.errors import CrmOnlineError

__all__ = ["Lease", "LeaseLost", "Pulse", "elapsed"]

# Of the session timeout: how often a lapsed lease is looked for.
LOOKS: Final = 20
LONGEST_LOOK_SECONDS: Final = 1.0


class LeaseLost(KafkaError):  # type: ignore[misc]  # aiokafka says no types
    """What was to be written belongs to a lease that is lost; whoever gets this lets go of it.

    It passes through aiokafka as the reason why its batches fail, so it is one of its errors.
    """

    retriable = False


def elapsed() -> float:
    """Return seconds on a clock that goes on while this process, or the machine, stands still."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux has the former
    return time.clock_gettime(clock)


class Pulse:
    """Ends a process whose event loop stood still for longer than its stale writes are watched for.

    Parameters
    ----------
    max_pause_seconds
        How long the loop may stand still.
    end
        Ends the process at once, with a reason; from any thread.
    clock
        Seconds, going on while the process is stopped.
    """

    def __init__(
        self,
        max_pause_seconds: float,
        end: Callable[[BaseException], object],
        clock: Callable[[], float] = elapsed,
    ) -> None:
        self._limit = max_pause_seconds
        self._end = end
        self._clock = clock
        self._beaten: float | None = None
        self._watched = False

    def beat(self) -> None:
        """Say, from the loop, that it goes on; nothing is checked before the first time."""
        self.check()
        self._beaten = self._clock()

    def check(self) -> None:
        """End the process where the loop stood still for too long."""
        beaten = self._beaten
        pause = 0.0 if beaten is None else self._clock() - beaten
        if pause > self._limit:
            self._end(
                CrmOnlineError(
                    f"the worker stood still for {pause:.0f} s, longer than CRM_MAX_PAUSE_SECONDS "
                    f"({self._limit:g}): it ends and sends nothing of what it had in hand; start "
                    "it again"
                )
            )

    def rest(self) -> None:
        """Check nothing more: the worker has stopped, and its process may live on."""
        self._watched, self._beaten = False, None

    def watch(self) -> None:
        """Look from a thread of our own, too: a loop that hangs cannot tell."""
        if self._watched:
            return
        self._watched = True

        def look() -> None:
            while self._watched:
                time.sleep(min(self._limit / 4, LONGEST_LOOK_SECONDS))
                self.check()

        Thread(target=look, name="pulse", daemon=True).start()


class Lease:
    """Good for one session timeout after the group's coordinator last answered as to a member.

    The consumer's thread renews it and the loop asks for it. Once lost it is good again only by
    joining the group anew: what was held may have been someone else's meanwhile.

    Parameters
    ----------
    seconds
        The session timeout.
    pulse
        Beaten while the lease is watched, and checked before anything is written.
    clock
        Seconds, going on while the process is stopped.

    Examples
    --------
    >>> now = [0.0]
    >>> lease = Lease(10.0, clock=lambda: now[0])
    >>> lease.grant(0.0); now[0] = 9.0; lease.holds()
    True
    >>> now[0] = 11.0; lease.holds(), lease.lapsed()
    (False, True)
    """

    def __init__(
        self,
        seconds: float,
        pulse: Pulse | None = None,
        clock: Callable[[], float] = elapsed,
    ) -> None:
        self.clock: Final = clock
        self._seconds = seconds
        self._pulse = pulse
        self._since: float | None = None
        self._changing = Lock()
        self.lost = False

    def grant(self, at: float) -> None:
        """Take note that the group let us in, asked at this time."""
        with self._changing:
            self._since = at
            self.lost = False

    def renew(self, at: float) -> None:
        """Take note of a successful heartbeat that was sent at this time; one too late is none."""
        with self._changing:
            since = self._since
            if since is not None and not self.lapsed():
                self._since = max(since, at)

    def release(self) -> None:
        """Give it back: nothing is owned and nothing under way, so nothing can be lost."""
        with self._changing:
            self._since = None

    @property
    def granted(self) -> bool:
        """Whether the group let us in, and nothing was given back or lost since."""
        return self._since is not None and not self.lost

    def holds(self) -> bool:
        """Say whether we may write; ends the process where it slept for too long."""
        if self._pulse is not None:
            self._pulse.check()
        return self.granted and not self.lapsed()

    def lapsed(self) -> bool:
        """Say whether a session timeout has passed without an answer."""
        since = self._since
        return since is not None and self.clock() - since > self._seconds

    async def lapse(self) -> None:
        """Return when it has lapsed; it then is lost until the group is joined again."""
        if self._pulse is not None:
            self._pulse.watch()
        try:
            while not self._lose():
                if self._pulse is not None:
                    self._pulse.beat()
                await asyncio.sleep(min(self._seconds / LOOKS, LONGEST_LOOK_SECONDS))
        except asyncio.CancelledError:
            if self._pulse is not None:
                self._pulse.rest()
            raise

    def _lose(self) -> bool:
        """Take note that it has lapsed, if it has; returns whether it is lost by this."""
        with self._changing:
            newly = not self.lost and self.lapsed()
            self.lost = self.lost or newly
            return newly
