"""A profile as tables for people, as JSON for programs, and as a page."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import msgspec
import typer

from crm_online.errors import ConfigurationError
from streams.evaluating.tables import print_table
from streams.exits import EXIT_FAILED, say
from streams.profiling.page import page

if TYPE_CHECKING:
    from pathlib import Path

    from crm_online.profiling import Profile
    from crm_online.profiling.report import FieldProfile, Many

__all__ = ["show_profile"]

NAMES: Final = 30


def show_profile(profile: Profile, *, json: bool, html: Path | None) -> int:
    """Print a profile; returns the exit code.

    Parameters
    ----------
    profile
        What to show.
    json
        Print one object in place of tables.
    html
        Where to write a page as well.

    Raises
    ------
    ConfigurationError
        Where the page cannot be written.
    """
    if html is not None:
        try:
            html.write_text(page(profile), encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"cannot write {html} ({error.strerror})") from error
        say(f"wrote {html}")
    if json:
        sys.stdout.write(msgspec.json.encode(profile).decode() + "\n")
    else:
        _print(profile)
    return 0 if profile.events else EXIT_FAILED


def _print(profile: Profile) -> None:
    if profile.first and profile.last:
        span = f"{profile.first:%Y-%m-%d %H:%M} to {profile.last:%Y-%m-%d %H:%M}"
        typer.echo(f"{profile.events:,} events of {profile.records:,} records, {span}\n")
    print_table(
        ["event", "events", "in the spec", "lack"],
        [
            [each.name, f"{each.events:,}", "yes" if each.known else "no", _lacking(each.missing)]
            for each in profile.names[:NAMES]
        ],
    )
    typer.echo("")
    print_table(
        ["field", "events", "types", "different", "range", "longest"],
        [_field(each) for each in profile.fields],
    )
    typer.echo("")
    print_table(
        ["", "different", "events", "median", "most"],
        [_many("customers", profile.customers), _many("items", profile.items)],
    )
    orders = profile.orders
    if orders.orders:
        typer.echo("")
        print_table(
            ["currency", "orders", "revenue"],
            [
                [each.currency or "(none)", f"{each.orders:,}", f"{each.revenue:,.2f}"]
                for each in orders.currencies
            ],
        )
    for name, counts in {"rows of the file": profile.rows, "cleaned by": profile.repairs}.items():
        if counts:
            typer.echo("")
            print_table([name, "how many"], [[what, f"{n:,}"] for what, n in counts.items()])
    typer.echo("\nWhat to look at")
    for sentence in profile.findings or ["nothing: this looks well"]:
        typer.echo(f"  {sentence}")


def _lacking(missing: dict[str, float]) -> str:
    worst = sorted(missing.items(), key=lambda pair: -pair[1])[:3]
    return ", ".join(f"{path} {share:.0%}" for path, share in worst)


def _field(field: FieldProfile) -> list[str]:
    numbers = field.low is not None
    return [
        field.path,
        f"{field.events:,}",
        ", ".join(field.types),
        f"{field.distinct:,}",
        f"{field.low:g} to {field.high:g}" if numbers else "",
        f"{field.longest:,}" if field.longest else "",
    ]


def _many(name: str, many: Many) -> list[str]:
    more = "" if many.complete else "+"
    count = f"{many.count:,}{more}"
    return [name, count, f"{many.events:,}", f"{many.median:g}", f"{many.most:,}"]
