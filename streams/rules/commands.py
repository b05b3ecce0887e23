"""`crm-online rules`: check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams import options

__all__ = ["commands"]

commands = typer.Typer(
    help="Check rules of actions, and try them on the past.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

RulesFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Rules, .toml, .yaml or .yml.", show_default=False)
]


@commands.command()
def check(
    file: RulesFile,
    json_: options.Json = False,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Check a rules file; needs no server.

    Examples:
      crm-online rules check rules.toml
      crm-online rules check rules.yaml --json | jq .version

    Exits with 2, and names each line, where there is a fault.
    """
    settings = options.settings_of(settings_file, set_)
    from streams.rules.checking import check_rules

    raise typer.Exit(check_rules(settings, file, json=json_))
