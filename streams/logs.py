"""Logs: readable lines on terminals, JSON elsewhere, on standard error."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import structlog
from structlog.typing import Processor

from streams.configuration import signs_by_default

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Sparing", "configure_logs", "log_loading", "warn_of_default_key"]

SPARING_SECONDS: Final = 10.0
MOST_KINDS: Final = 1000

# Faust's services log their life under the name of the module of their class.
_LIBRARIES: Final = ("faust", "mode", "aiokafka", "kafka", "asyncio")
_CHATTY: Final = (
    *_LIBRARIES,
    "streams.apps",
    "streams.batches",
    "streams.transport",
)


class Sparing(logging.Filter):
    """Lets each message of the libraries pass once in a while, with the number left out since.

    While a broker is away aiokafka says the same in every retry of every client.

    Parameters
    ----------
    seconds
        Between two messages that differ in their arguments only.
    clock
        Seconds.
    """

    def __init__(
        self, seconds: float = SPARING_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether to log a record; adds to it how many like it were not."""
        if record.name.split(".", 1)[0] not in _LIBRARIES:
            return True
        kind, now = (record.name, str(record.msg)), self._clock()
        since, left_out = self._said.get(kind, (-self._seconds, 0))
        if now - since < self._seconds:
            self._said[kind] = since, left_out + 1
            return False
        if len(self._said) > MOST_KINDS:
            self._said.clear()
        self._said[kind] = now, 0
        if left_out:
            record.msg = f"{record.msg} ({left_out} more like this were left out)"
        return True


def configure_logs(level: int = logging.INFO) -> None:
    """Send our logs and the libraries' through structlog.

    Parameters
    ----------
    level
        Lowest level shown. Faust's debug lines cost 23 µs a message even where nothing shows
        them, so debug stays disabled below.
    """
    logging.disable(logging.DEBUG)
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last = _last_processors()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _last_processors() -> list[Processor]:
    if sys.stderr.isatty():
        return [structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def log_loading(settings: Settings, roles: Sequence[str]) -> None:
    """Log a first line before what takes seconds to import, and where it will connect to."""
    structlog.get_logger(__name__).info(
        "loading", roles=list(roles), kafka=settings.kafka, app=settings.app
    )


def warn_of_default_key(settings: Settings) -> None:
    """Log that anyone can forge what is signed, where the signing key is the default one."""
    if signs_by_default(settings):
        structlog.get_logger(__name__).warning(
            "CRM_SIGNING_KEY is the default, which everybody knows: set it to a secret of your "
            "own before others can write to Kafka"
        )
