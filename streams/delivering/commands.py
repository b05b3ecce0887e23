"""`crm-online endpoints`: list and enable."""

from __future__ import annotations

from typing import Annotated

import typer

from streams import options

__all__ = ["commands"]

commands = typer.Typer(
    name="endpoints",
    help="Show how endpoints of webhooks stand, and enable them again.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@commands.command("list")
def list_(
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """List the endpoints of the settings: well, failing or disabled, and why.

    Examples:
      crm-online endpoints list
      crm-online endpoints list --json

    Exits with 1 where one is disabled.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.delivering.enabling import list_endpoints

    raise typer.Exit(list_endpoints(settings, json=json_))


@commands.command()
def enable(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the endpoint.")],
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Enable an endpoint that was disabled; workers that run hear of it.

    Examples:
      crm-online endpoints enable mail

    Its actions go on where they stopped, but for those that are too old by now.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.delivering.enabling import enable_endpoint

    raise typer.Exit(enable_endpoint(settings, name))
