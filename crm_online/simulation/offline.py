"""A history scored and learned from without Kafka: what `crm-online score` runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

from crm_online.inprocess import InProcess
from crm_online.internal import tick
from crm_online.log import Effects, LogRecord, Message
from crm_online.settings import Settings
from crm_online.simulation.replay import Barrier, Send, Step, Tick

__all__ = ["score_history"]


def score_history(steps: Iterable[Step], settings: Settings) -> Iterator[Effects]:
    """Run a planned replay through one scorer and one learner.

    Parameters
    ----------
    steps
        From `plan_replay`; models are up to date with all before a barrier at each barrier.
    settings
        Of the whole program.

    Yields
    ------
    Effects
        Of each batch, in log order.
    """
    both = InProcess(settings)
    key = settings.signing_key.get_secret_value().encode()
    waiting: list[LogRecord] = []
    offsets = count()
    for step in steps:
        match step:
            case Send(event):
                message = Message(event.customer.encode(), event.value)
                waiting.append(_record(next(offsets), event.at, message))
            case Tick(at):
                waiting.append(_record(next(offsets), at, tick(key, at=at)))
            case Barrier():
                pass
        if len(waiting) >= settings.max_batch or not isinstance(step, Send):
            yield from both.process(0, waiting)
            waiting = []
    if waiting:
        yield from both.process(0, waiting)


def _record(offset: int, at: float, message: Message) -> LogRecord:
    return LogRecord(offset, int(at * 1000), message.key, message.value, message.headers)
