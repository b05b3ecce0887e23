"""A history scored and learned from without Kafka: what `crm-online score` runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crm_online.inprocess import InProcess
from crm_online.internal import tick
from crm_online.log import Effects, LogRecord, Message
from crm_online.settings import Settings
from crm_online.simulation.replay import Send, Step, Tick

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
    offset = 0
    for step in steps:
        if isinstance(step, Send):
            message = Message(step.event.customer.encode(), step.event.value)
            timestamp = int(step.event.at * 1000)
        elif isinstance(step, Tick):
            message, timestamp = tick(key, at=step.at), int(step.at * 1000)
        if isinstance(step, Send | Tick):
            waiting.append(
                LogRecord(offset, timestamp, message.key, message.value, message.headers)
            )
            offset += 1
        if len(waiting) >= settings.max_batch or not isinstance(step, Send):
            yield from both.process(0, waiting)
            waiting = []
    if waiting:
        yield from both.process(0, waiting)
