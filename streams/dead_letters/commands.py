"""`crm-online dead-letters`: list, show and replay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crm_online.errors import ConfigurationError
from streams import options

__all__ = ["commands"]

commands = typer.Typer(
    name="dead-letters",
    help="See what was refused and why; put back what was mended.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_PLACE = "Where it was read: crm.events[3]@17, or 3@17."
Reason = Annotated[
    str | None,
    typer.Option(metavar="REASON", help="Only those refused for this.", show_default=False),
]


@commands.command("list")
def list_(
    reason: Reason = None,
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Newest so many.")] = 20,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """List dead letters, newest first, and count them by reason.

    Examples:
      crm-online dead-letters list
      crm-online dead-letters list --reason missing-id --json

    The other commands want the place, as the first column has it.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.dead_letters.listing import list_dead_letters

    raise typer.Exit(list_dead_letters(settings, reason=reason, limit=limit, json=json_))


@commands.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PLACE", help=_PLACE)],
    raw: Annotated[bool, typer.Option("--raw", help="Write exactly the rejected bytes.")] = False,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Show one dead letter: why it was refused, and its bytes.

    Examples:
      crm-online dead-letters show 3@17
      crm-online dead-letters show 3@17 --raw > mended.json

    Exits with 1 where there is no such letter.
    """
    if raw and json_:
        raise ConfigurationError("--raw and --json exclude each other")
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.dead_letters.showing import show_dead_letter

    raise typer.Exit(show_dead_letter(settings, place, json=json_, raw=raw))


@commands.command()
def replay(
    places: Annotated[list[str] | None, typer.Argument(metavar="[PLACE]…", help=_PLACE)] = None,
    reason: Reason = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The mended bytes of one; - is standard input."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Put back once more.")] = False,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Put back what was mended, once; what would be refused again stays where it is.

    Examples:
      crm-online dead-letters replay 3@17 --file mended.json
      crm-online dead-letters replay --reason time-in-future

    Exits with 1 where anything was refused; the others are put back all the same.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.dead_letters.replaying import replay_dead_letters

    raise typer.Exit(
        replay_dead_letters(
            settings, places=places or (), reason=reason, file=file, force=force, json=json_
        )
    )
