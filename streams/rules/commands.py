"""`crm-online rules`: check and simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams import options

__all__ = ["commands"]

commands = typer.Typer(
    name="rules",
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


@commands.command()
def simulate(
    file: RulesFile,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TOPIC_OR_FILE",
            help="The past: events or scores, JSON lines in a file, or the topic of either.",
            show_default=False,
        ),
    ],
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Say what rules would have sent in the past, and what limits would have held back.

    Examples:
      crm-online rules simulate rules.toml --from events.jsonl
      crm-online rules simulate rules.toml --from scores.jsonl --json
      crm-online rules simulate rules.toml --from crm.events

    Nothing is sent. Events are scored and learned from on the way. Exits with 1
    where there is nothing to try them on.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.rules.simulating import simulate_rules

    raise typer.Exit(simulate_rules(settings, file, source, json=json_))
