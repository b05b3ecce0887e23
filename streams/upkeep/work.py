"""How far a long command is, and what it asks before it begins."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import typer

from crm_online.errors import ConfigurationError
from streams.admin import Admin
from streams.exits import say
from streams.progress import Stage

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Work", "confirm", "ensure_stopped", "show_plan"]


POLL_SECONDS: Final = 0.2
GRACE_SECONDS: Final = 5.0


class Work:
    """What is being done now, and how much of it is.

    Examples
    --------
    >>> work = Work()
    >>> work.begin("reading", 4)
    >>> work.advance(1)
    >>> work.stage()
    Stage(word='reading', share=0.25)
    """

    def __init__(self) -> None:
        self._word = "looking"
        self._done = self._total = 0

    def begin(self, word: str, total: int) -> None:
        """Begin with something of a known size."""
        self._word, self._done, self._total = word, 0, total

    def advance(self, count: int) -> None:
        """Take note that so much more of it is done."""
        self._done += count

    def stage(self) -> Stage:
        """Return it for a progress bar."""
        return Stage(self._word, min(self._done / self._total, 1.0) if self._total else None)


def ensure_stopped(settings: Settings, admin: Admin) -> None:
    """Refuse while a worker is in a group that changes state or models.

    One that has just ended by itself is waited for: the broker counts it until its session times
    out.

    Raises
    ------
    ConfigurationError
        Naming the group and what to do.
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    """
    deadline, told = time.monotonic() + settings.session_timeout_seconds + GRACE_SECONDS, False
    while left := [group for group in _groups(settings) if admin.members(group)]:
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"the group {left[0]} has members: stop all workers of CRM_APP={settings.app} first"
            )
        if not told:
            say(f"waiting until the group {left[0]} is empty")
            told = True
        time.sleep(POLL_SECONDS)


def _groups(settings: Settings) -> list[str]:
    return [f"{settings.app}-{role}" for role in ("score", "learn", "act")]


def show_plan(sentences: Sequence[str]) -> None:
    """Say what will be done, on standard error."""
    for sentence in sentences:
        say(sentence)


def confirm(*, yes: bool) -> bool:
    """Ask whether to go on, unless that was said before.

    Raises
    ------
    ConfigurationError
        Where there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody is there to be asked: say --yes to go on")
    return typer.confirm("Go on?", err=True)
