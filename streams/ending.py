"""How a worker that cannot go on ends: at once, with one sentence, and nothing behind it."""

from __future__ import annotations

import os
import sys

import structlog

from crm_online.errors import CrmOnlineError
from streams.exits import EXIT_FAILED

__all__ = ["end_process"]

_log = structlog.get_logger(__name__)


def end_process(error: BaseException | None) -> None:
    """End at once: nothing may be flushed or committed behind a failure.

    Parameters
    ----------
    error
        Why. A traceback is shown only for what nobody foresaw.
    """
    reason = str(error) or type(error).__name__
    if structlog.is_configured():
        unforeseen = None if isinstance(error, CrmOnlineError) else error
        _log.error("stopped", reason=reason, exc_info=unforeseen)
    else:  # Faust's own command line runs us
        sys.stderr.write(f"crm-online: {reason}\n")
    sys.stderr.flush()
    os._exit(EXIT_FAILED)
