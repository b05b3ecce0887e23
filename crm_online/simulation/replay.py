"""The plan of a replay: what to send, where to wait for the slowest reader, and how fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from crm_online.errors import ConfigurationError
from crm_online.simulation.ordering import Order, in_time_order
from crm_online.simulation.raw import RawEvent
from crm_online.simulation.silence import Silence

__all__ = [
    "Barrier",
    "Pace",
    "RateLimit",
    "Send",
    "Step",
    "Tick",
    "parse_speed",
    "plan_replay",
]


class Send(NamedTuple):
    """Put this event on the log."""

    event: RawEvent


class Barrier(NamedTuple):
    """Wait until all that was sent has been applied, and learned from.

    Parameters
    ----------
    at
        Seconds since 1970: all events before are earlier, all behind it are not.
    """

    at: float


class Tick(NamedTuple):
    """The end: put a tick at this time, the data's last, into every partition."""

    at: float


Step = Send | Barrier | Tick


def plan_replay(
    events: Iterable[RawEvent],
    max_ahead_seconds: float | None,
    order: Order = "window",
    window: int = 100_000,
    silence: Silence | None = None,
) -> Iterator[Step]:
    """Plan a replay.

    Barriers stand on a grid of `max_ahead_seconds` from the first event on, so whoever waits at
    each is never further ahead of the slowest partition than that in event time. A stretch
    without events has one barrier, at its end. In order ``"arrival"`` the newest time so far
    counts, and a late event may follow the barrier of a later time.

    Parameters
    ----------
    events
        From a `Dataset` or a `Population`.
    max_ahead_seconds
        Event time between barriers; None for none.
    order, window
        As of `in_time_order`.
    silence
        Leaves out events too far ahead of all before them; None for none.

    Yields
    ------
    Step
        `Send` and `Barrier`, and one `Tick` at the end if there was any event.

    Raises
    ------
    ConfigurationError
        Where `max_ahead_seconds` is not above zero, or events are too far out of order.

    Examples
    --------
    >>> day = 86_400.0
    >>> history = [RawEvent(at * day, "c", b"") for at in (0, 0.5, 3.2)]
    >>> [type(step).__name__ for step in plan_replay(history, day)]
    ['Send', 'Send', 'Barrier', 'Send', 'Tick']
    """
    if max_ahead_seconds is not None and not max_ahead_seconds > 0:
        raise ConfigurationError("max_ahead must be above zero, or none")
    ordered = in_time_order(events, order, window)
    if silence is not None:
        ordered = filter(silence.allows, ordered)
    return _steps(ordered, max_ahead_seconds or math.inf)


def _steps(events: Iterator[RawEvent], ahead: float) -> Iterator[Step]:
    first, last, passed = math.nan, -math.inf, 0
    for event in events:
        if event.at > last:
            first = event.at if math.isnan(first) else first
            last = event.at
            intervals = int((last - first) // ahead)
            if intervals > passed:
                passed = intervals
                # Never behind the event: the product may round up past it.
                yield Barrier(min(first + intervals * ahead, last))
        yield Send(event)
    if last > -math.inf:
        yield Tick(last)


def parse_speed(text: str) -> float | None:
    """Read a speed.

    Parameters
    ----------
    text
        ``"max"``, or how many seconds of event time pass in one: ``"60x"`` or ``"60"``.

    Returns
    -------
    float | None
        The factor; None for as fast as it goes.

    Raises
    ------
    ConfigurationError
        Where it is neither.

    Examples
    --------
    >>> parse_speed("60x"), parse_speed("max")
    (60.0, None)
    """
    text = text.strip().lower()
    if text == "max":
        return None
    try:
        factor = float(text.removesuffix("real").removesuffix("x"))
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise ConfigurationError(f"speed {text!r} is neither 'max' nor a factor such as '60x'")
    return factor


class Pace:
    """Event time at a multiple of real time, counted from the first event.

    A replay that was held up catches up as fast as it goes.

    Parameters
    ----------
    factor
        Seconds of event time in one second; None for no waiting.
    clock
        Returns seconds that only rise, such as `time.monotonic`.
    """

    def __init__(self, factor: float | None, clock: Callable[[], float]) -> None:
        self._factor = factor
        self._clock = clock
        self._began: tuple[float, float] | None = None

    def delay(self, at: float) -> float:
        """Tell the seconds to wait before an event of the time `at`; 0 when it is due."""
        if self._factor is None:
            return 0.0
        now = self._clock()
        if self._began is None:
            self._began = (now, at)
        start, first = self._began
        return max(0.0, start + (at - first) / self._factor - now)


class RateLimit:
    """At most so many events a second on average since the first.

    Parameters
    ----------
    events_per_second
        None for no limit.
    clock
        Returns seconds that only rise, such as `time.monotonic`.
    """

    def __init__(self, events_per_second: float | None, clock: Callable[[], float]) -> None:
        if events_per_second is not None and not events_per_second > 0:
            raise ConfigurationError("the rate must be above zero, or none")
        self._rate = events_per_second
        self._clock = clock
        self._began: float | None = None
        self._sent = 0

    def delay(self) -> float:
        """Count one event; seconds to wait before it."""
        if self._rate is None:
            return 0.0
        now = self._clock()
        if self._began is None:
            self._began = now
        due = self._began + self._sent / self._rate
        self._sent += 1
        return max(0.0, due - now)
