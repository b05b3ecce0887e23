"""How commands end: exit codes that scripts can trust, and one sentence on what went wrong."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Final

import typer
from typer.core import TyperGroup

from crm_online.errors import (
    BrokerUnavailable,
    ConfigurationError,
    CrmOnlineError,
    SinkUnavailable,
)

__all__ = [
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_PIPE",
    "EXIT_UNAVAILABLE",
    "EXIT_USAGE",
    "Commands",
    "counted",
    "say",
]

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 3
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
EXIT_PIPE: Final = 141  # 128 + SIGPIPE, as of any filter whose reader went away
_LONGEST: Final = 2000


class Commands(TyperGroup):
    """Commands whose errors become one sentence and an exit code; ``--traceback`` shows more."""

    _traceback = False

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line; what reaches this place is an error that nobody foresaw."""
        try:
            return super().main(*args, **extra)
        except SystemExit as stop:
            # typer and rich make 1 of a pipe that nobody reads any more.
            if not isinstance(stop.__context__, BrokenPipeError):
                raise
            _drop_output()
            raise SystemExit(EXIT_PIPE) from None
        except Exception as error:
            if self._traceback:
                raise
            say(
                f"unexpected {type(error).__name__}: {error}; this is a fault of crm-online: "
                "run `crm-online --traceback …` and report what it shows",
                style="red",
            )
            raise SystemExit(EXIT_FAILED) from None

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command that the context asks for."""
        self._traceback = bool(ctx.params.get("traceback"))
        if not self._traceback:
            # What libraries log goes to the worker's log; a command says one sentence.
            logging.getLogger().addHandler(logging.NullHandler())
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            _drop_output()
            raise typer.Exit(EXIT_PIPE) from None
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # typer asks pydantic
            raise
        except (CrmOnlineError, OSError) as error:
            if self._traceback:
                raise
            say(_sentence(error), style="red")
            raise typer.Exit(_code(error)) from None


def say(text: str, *, style: str = "") -> None:
    """Write a sentence on standard error, on one line, coloured only on terminals.

    Parameters
    ----------
    text
        What to say; what a terminal might take for a command is replaced.
    style
        Of rich, such as ``"red"``.
    """
    from rich.console import Console  # noqa: PLC0415 - most runs have nothing to say
    from rich.text import Text  # noqa: PLC0415

    kept = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    shown = "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in kept
    )
    Console(stderr=True).print(Text(f"crm-online: {shown}", style=style), soft_wrap=True)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f" {error.filename}" if error.filename else ""
        return f"cannot use{where}: {error.strerror}"
    return str(error) or f"ended by {type(error).__name__}; run `crm-online --traceback …` for more"


def _code(error: Exception) -> int:
    if isinstance(error, ConfigurationError):
        return EXIT_USAGE
    away = isinstance(error, BrokerUnavailable | SinkUnavailable)
    return EXIT_UNAVAILABLE if away else EXIT_FAILED


def _drop_output() -> None:
    """Let what is still buffered go nowhere, or Python complains of the pipe at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
