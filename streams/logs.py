"""Logs: readable lines on terminals, JSON elsewhere, on standard error."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Final

import structlog
from structlog.typing import Processor

from streams.configuration import signs_by_default

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["configure_logs", "warn_of_default_key"]

# Faust's services log their life under the name of the module of their class.
_CHATTY: Final = (
    "faust",
    "mode",
    "aiokafka",
    "kafka",
    "streams.apps",
    "streams.batches",
    "streams.transport",
)


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


def warn_of_default_key(settings: Settings) -> None:
    """Log that anyone can forge what is signed, where the signing key is the default one."""
    if signs_by_default(settings):
        structlog.get_logger(__name__).warning(
            "CRM_SIGNING_KEY is the default, which everybody knows: set it to a secret of your "
            "own before others can write to Kafka"
        )
