"""Waits that tell what they wait for, once they are longer than a person would think."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Final

import structlog

from streams.exits import say

__all__ = ["trying"]

QUIET_SECONDS: Final = 2.0
_log = structlog.get_logger(__name__)


@contextmanager
def trying(what: str) -> Iterator[None]:
    """Say what is tried, in the log or on standard error, where the block takes long.

    Parameters
    ----------
    what
        Whom, such as ``"Kafka at 127.0.0.1:9092"``.
    """
    timer = Timer(QUIET_SECONDS, _tell, [f"trying {what} …"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _tell(text: str) -> None:
    if structlog.is_configured():
        _log.info(text)
    else:
        say(text)
