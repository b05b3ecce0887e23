"""A server that hangs: it takes connections and calls, and answers none."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streams.embedded import Valkey

__all__ = ["silent"]


@asynccontextmanager
async def silent(valkey: Valkey) -> AsyncIterator[None]:
    """Take calls and answer none."""
    number = valkey.process_id
    assert number is not None
    os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(number, signal.SIGCONT)
