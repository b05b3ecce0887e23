"""`crm-online export`: segment, at-risk and recommendations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from streams import options

__all__ = ["export_app"]

export_app = typer.Typer(
    name="export",
    help="Write customers of the cache into files, for tools without webhooks.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Format = Annotated[
    Literal["csv", "jsonl"], typer.Option("--format", metavar="FORMAT", help="csv or jsonl.")
]
Output = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="In place of standard output.", show_default=False),
]


@export_app.command()
def segment(
    name: Annotated[str, typer.Argument(metavar="SEGMENT", help="Name, such as at_risk.")],
    format_: Format = "csv",
    output: Output = None,
    redis: options.Redis = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Export the customers of a segment with their scores.

    Examples:
      crm-online export segment champions > champions.csv
      crm-online export segment at_risk --format jsonl --output at-risk.jsonl

    Exits with 1 where there are none, and with 2 for a segment that does not exist.
    """
    settings = options.settings_of(settings_file, set_, redis=redis, app=prefix)
    from streams.exporting.writing import export_segment

    raise typer.Exit(export_segment(settings, _known(name), format_, output))


@export_app.command("at-risk")
def at_risk(
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="At most so many.")] = 10_000,
    format_: Format = "csv",
    output: Output = None,
    redis: options.Redis = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Export those most likely to churn, the likeliest first.

    Examples:
      crm-online export at-risk --limit 500 > at-risk.csv

    Exits with 1 where there is nobody.
    """
    settings = options.settings_of(settings_file, set_, redis=redis, app=prefix)
    from streams.exporting.writing import export_at_risk

    raise typer.Exit(export_at_risk(settings, limit, format_, output))


@export_app.command()
def recommendations(
    segment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of customers of this segment.", show_default=False),
    ] = None,
    format_: Format = "csv",
    output: Output = None,
    redis: options.Redis = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Export the newest lists of next items: in CSV a row for each item.

    Examples:
      crm-online export recommendations --segment champions > items.csv
      crm-online export recommendations --format jsonl

    Exits with 1 where there are none.
    """
    settings = options.settings_of(settings_file, set_, redis=redis, app=prefix)
    from streams.exporting.writing import export_recommendations

    known = None if segment is None else _known(segment)
    raise typer.Exit(export_recommendations(settings, known, format_, output))


def _known(name: str) -> str:
    from crm_online.errors import ConfigurationError
    from crm_online.models.segments import SEGMENTS

    if name not in SEGMENTS:
        raise ConfigurationError(f"there is no segment {name}; there are {', '.join(SEGMENTS)}")
    return name
