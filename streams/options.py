"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "Amount",
    "At",
    "Customer",
    "File",
    "Format",
    "Item",
    "Json",
    "Kafka",
    "Kind",
    "MaxAhead",
    "Order",
    "Prefix",
    "Redis",
    "Seed",
    "Set",
    "SettingsFile",
]

_SETTINGS = "Settings"
_COLUMNS = "Columns of --format csv"

File = Annotated[Path, typer.Argument(help="The history; .gz is unpacked on the way.")]
Format = Annotated[
    Literal["segment", "online-retail", "rees46", "clicks", "csv"],
    typer.Option("--format", help="What the file holds; segment is JSON lines."),
]
Order = Annotated[
    Literal["window", "whole", "arrival"] | None,
    typer.Option(
        "--order",
        help="Sort events by time within a window of 100,000, or the whole file first, or leave "
        "them as they arrive; without this, whole for csv and window for all others.",
        show_default=False,
    ),
]
MaxAhead = Annotated[
    str | None,
    typer.Option(
        "--max-ahead",
        metavar="DAYS",
        help="Event time between waits for the slowest reader, or none to never wait; without "
        "this, the setting max_ahead_days.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same events.")]


def _column(name: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        f"--{name}", metavar="NAME", help=text, show_default=False, rich_help_panel=_COLUMNS
    )
    return option


def _setting(*names: str, metavar: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        *names, metavar=metavar, help=text, show_default=False, rich_help_panel=_SETTINGS
    )
    return option


Customer = Annotated[str | None, _column("customer", "Of customer ids; needed.")]
At = Annotated[str | None, _column("at", "Of times: ISO 8601, or seconds since 1970; needed.")]
Item = Annotated[str | None, _column("item", "Of product ids.")]
Amount = Annotated[str | None, _column("amount", "Of amounts of money.")]
Kind = Annotated[str | None, _column("kind", "Of what happened: view, cart, purchase …")]

Kafka = Annotated[
    str | None,
    _setting("--kafka", metavar="HOST:PORT,…", text="Bootstrap servers (CRM_KAFKA)."),
]
Redis = Annotated[
    str | None, _setting("--redis", metavar="URL", text="Address of the cache (CRM_REDIS).")
]
Prefix = Annotated[
    str | None,
    _setting("--app", metavar="NAME", text="Prefix of topics, groups and keys (CRM_APP)."),
]
Set = Annotated[
    list[str] | None,
    _setting(
        "--set",
        metavar="NAME=VALUE",
        text="Any setting that `crm-online config` lists; may be repeated.",
    ),
]
SettingsFile = Annotated[
    Path | None,
    _setting("--settings", metavar="FILE", text="TOML file of settings (CRM_SETTINGS_FILE)."),
]
