"""`crm-online items`: load, list and show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from streams import options

__all__ = ["commands"]

commands = typer.Typer(
    name="items",
    help="Say what items are called and cost, and which are to be had.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_PANEL = "Columns, where they go by other names than usual"


def _column(name: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        f"--{name}", metavar="NAME", help=text, show_default=False, rich_help_panel=_PANEL
    )
    return option


@commands.command()
def load(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The catalogue; .gz is unpacked on the way.")
    ],
    format_: Annotated[
        Literal["csv", "tsv", "jsonl"] | None,
        typer.Option("--format", metavar="FORMAT", help="csv, tsv or jsonl.", show_default=False),
    ] = None,
    id_: Annotated[str | None, _column("id", "Of item ids; needed.")] = None,
    name: Annotated[str | None, _column("name", "Of names.")] = None,
    category: Annotated[str | None, _column("category", "Of categories: Garden > Tools.")] = None,
    price: Annotated[str | None, _column("price", "Of prices: 12.50, or 12.50 EUR.")] = None,
    available: Annotated[
        str | None, _column("available", "true, yes, 1, in stock; or false, no, 0, out of stock.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="What the file does not hold is not available.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file only; needs no server.")
    ] = False,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Load a catalogue: all of a file, or nothing where a row of it is wrong.

    Examples:
      crm-online items load catalogue.csv
      crm-online items load feed.tsv.gz --replace --json
      crm-online items load stock.csv --id StockCode --name Description --dry-run

    Only what changed is written. Exits with 1, and names lines and columns,
    where rows must be mended first; with 2 where the file has no such columns.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.items.loading import load_items

    columns = {
        "id": id_,
        "name": name,
        "category": category,
        "price": price,
        "available": available,
    }
    raise typer.Exit(
        load_items(
            settings,
            file,
            format_=format_,
            columns=columns,
            replace=replace,
            dry_run=dry_run,
            json=json_,
        )
    )


@commands.command("list")
def list_(
    unavailable: Annotated[
        bool, typer.Option("--unavailable", help="Only those that are not available.")
    ] = False,
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="At most so many.")] = 20,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """List the catalogue, the last changed items first.

    Examples:
      crm-online items list
      crm-online items list --unavailable --limit 1000 --json
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.items.showing import list_items

    raise typer.Exit(list_items(settings, unavailable=unavailable, limit=limit, json=json_))


@commands.command()
def show(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Item id.")],
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Show one item of the catalogue.

    Examples:
      crm-online items show 85123A
      crm-online items show 85123A --json

    Exits with 1 for an item that is not in it.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.items.showing import show_item

    raise typer.Exit(show_item(settings, item, json=json_))
