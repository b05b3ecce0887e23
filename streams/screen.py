"""Standard output for tables: as wide as the terminal, and never cut or coloured in a pipe."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console

__all__ = ["screen"]

_UNBROKEN: Final = 4000


def screen() -> Console:
    """Make the console that results go to."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(width=_UNBROKEN, highlight=False, soft_wrap=True)
