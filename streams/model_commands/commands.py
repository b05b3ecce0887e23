"""`crm-online models`: list, compare, promote and rollback."""

from __future__ import annotations

from typing import Annotated

import typer

from streams import options

__all__ = ["commands"]

commands = typer.Typer(
    name="models",
    help="See which estimators predict and how they do; change who does.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="churn or value.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Of a challenger, or main.")]
Maybe = Annotated[
    str | None, typer.Argument(metavar="[MODEL]", help="churn or value; both by default.")
]


@commands.command("list")
def list_(
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """List champions and challengers, live quality, and the last alarms.

    Examples:
      crm-online models list
      crm-online models list --json | jq '.quality[].figures.auc'
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.model_commands.showing import list_models

    raise typer.Exit(list_models(settings, json=json_))


@commands.command()
def compare(
    model: Maybe = None,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Compare challengers with their champion; show who was promoted or benched, when and why.

    Examples:
      crm-online models compare
      crm-online models compare churn --json

    Losses are means over outcomes that both had predicted before they learned them.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.model_commands.showing import compare_models

    raise typer.Exit(compare_models(settings, model, json=json_))


@commands.command()
def promote(
    model: Model,
    name: Name,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Make a challenger champion by hand.

    Examples:
      crm-online models promote churn forest
      crm-online models promote churn main

    Writes a signed record to the outcomes topic, so it takes effect in log
    order. The test goes on: another may be promoted later.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.model_commands.changing import promote as run

    raise typer.Exit(run(settings, model, name, json=json_))


@commands.command()
def rollback(
    model: Model,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Make the champion before this one champion again.

    Examples:
      crm-online models rollback churn
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.model_commands.changing import roll_back as run

    raise typer.Exit(run(settings, model, json=json_))
