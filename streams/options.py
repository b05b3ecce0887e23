"""The options of the commands: what they are called, and what their help says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

if TYPE_CHECKING:
    from crm_online.settings import Settings

from crm_online import __version__
from crm_online.errors import ConfigurationError

__all__ = [
    "ROLES",
    "Amount",
    "At",
    "Crowd",
    "Customer",
    "CustomerId",
    "File",
    "Format",
    "Hold",
    "Item",
    "Json",
    "Kafka",
    "Kind",
    "MaxAhead",
    "Order",
    "Outcomes",
    "Output",
    "Prefix",
    "Rate",
    "Redis",
    "Roles",
    "Seconds",
    "Seed",
    "Set",
    "SettingsFile",
    "Speed",
    "Traceback",
    "Version",
    "flags_of",
    "parse_roles",
    "settings_of",
    "usable",
]

# As of `streams.apps`, which takes seconds to import; `deliver` and `web` are no Faust apps.
ROLES: Final = ("score", "learn", "cache", "act", "deliver", "web")
_SETTINGS = "Settings"
_COLUMNS = "Columns of --format csv (which they imply)"

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="The history; .gz is unpacked on the way.")
]
Format = Annotated[
    Literal["segment", "online-retail", "rees46", "clicks", "csv"],
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="segment (JSON lines), online-retail, rees46, clicks or csv.",
    ),
]
Order = Annotated[
    Literal["window", "whole", "arrival"] | None,
    typer.Option(
        "--order",
        metavar="ORDER",
        help="Sort by time: window (of 100,000 events), whole (the file first), or arrival (not "
        "at all); without this, whole for csv and window for others.",
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


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"crm-online {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
]
Traceback = Annotated[bool, typer.Option("--traceback", hidden=True)]
Crowd = Annotated[int, typer.Option(metavar="NUMBER", min=50, help="Size of the population.")]
CustomerId = Annotated[str, typer.Argument(metavar="CUSTOMER", help="Customer id.")]
Seconds = Annotated[float, typer.Option(metavar="NUMBER", min=10, help="How long to run.")]
Hold = Annotated[
    bool, typer.Option("--hold", help="Keep the dashboard open at the end, until Ctrl-C.")
]
Roles = Annotated[str, typer.Option(metavar="ROLES", help=f"all, or some of {','.join(ROLES)}.")]
Speed = Annotated[
    str, typer.Option(metavar="SPEED", help="max, or a multiple of real time such as 60x.")
]
Outcomes = Annotated[
    bool, typer.Option("--outcomes", help="Print settled outcomes in place of scores.")
]
Rate = Annotated[
    float | None,
    typer.Option(metavar="NUMBER", help="Events per second at the most.", show_default=False),
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write JSON lines to this file in place of Kafka; - is standard output.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Seed = Annotated[int, typer.Option(metavar="NUMBER", help="The same seed gives the same events.")]


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


def parse_roles(text: str) -> list[str]:
    """Read a list of roles, or ``all``.

    Raises
    ------
    ConfigurationError
        Where there is no such role.

    Examples
    --------
    >>> parse_roles("score,learn"), parse_roles("all")
    (['score', 'learn'], ['score', 'learn', 'cache', 'act', 'deliver', 'web'])
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return list(ROLES)
    unknown = [name for name in names if name not in ROLES]
    if unknown or not names:
        raise ConfigurationError(f"--roles takes all, or some of {','.join(ROLES)}")
    return names


def usable(roles: Iterable[str], settings: Settings) -> list[str]:
    """Return those with something to do: `act` has rules, `deliver` endpoints, and `web` a port."""
    idle = {
        "act": settings.rules_file is None,
        "deliver": not settings.webhooks,
        "web": not settings.web_port,
    }
    return [name for name in roles if not idle.get(name)]


def settings_of(file: Path | None, pairs: list[str] | None, **flags: Any) -> Settings:
    """Load the settings that a command line asks for."""
    from streams.configuration import load  # noqa: PLC0415 - `--help` needs no settings

    return load(flags_of(pairs, **flags), file)


def flags_of(pairs: list[str] | None, **flags: Any) -> dict[str, Any]:
    """Merge ``--set`` with the flags that were given, which win."""
    from streams.configuration import parse_pairs  # noqa: PLC0415

    return {**parse_pairs(pairs or []), **{k: v for k, v in flags.items() if v is not None}}
