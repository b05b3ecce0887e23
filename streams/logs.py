"""Logs: readable lines on terminals, JSON elsewhere, on standard error."""

from __future__ import annotations

import logging
import sys

import structlog

__all__ = ["configure_logs"]

# Faust's services log their life under the name of the module of their class.
_CHATTY = ("faust", "mode", "aiokafka", "kafka", "streams.apps", "streams.batches", "streams.transport")


def configure_logs(level: int = logging.INFO) -> None:
    """Send our logs and the libraries' through structlog.

    Parameters
    ----------
    level
        Lowest level shown. Faust's debug lines cost 23 µs a message even where nothing shows
        them, so debug stays disabled below.
    """
    logging.disable(logging.DEBUG)
    shared = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    last = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    errors = [] if terminal else [structlog.processors.format_exc_info]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *errors, last],
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
