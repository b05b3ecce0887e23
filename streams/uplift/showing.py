"""What `crm-online uplift` prints: treated against control, by action and measure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
import typer

from streams.admin import Admin
from streams.evaluating.tables import print_table
from streams.exits import EXIT_FAILED, say
from streams.upkeep.scanning import Scan
from streams.upkeep.work import Work

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["show_uplift"]

PREFIX: Final = b"learn/-/uplift."


def show_uplift(settings: Settings, *, json: bool) -> int:
    """Print the newest figures of each action; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    json
        Print JSON in place of a table.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    """
    found = asyncio.run(_read(settings))
    if not found:
        say(
            "no outcome of an action is known yet: they come horizon_days after the first actions, "
            "where the roles act, score and learn run"
        )
        return EXIT_FAILED
    _print(found, json=json)
    return 0


async def _read(settings: Settings) -> list[dict[str, Any]]:
    newest: dict[bytes, dict[str, Any]] = {}
    count = min(Admin(settings).count(settings.topic("metrics")), 1)
    async with Scan(settings, Work()) as scan:
        spans = await scan.bounds("metrics", count)
        async for _, records in scan.read("metrics", spans, "reading"):
            for record in records:
                if record.key and record.key.startswith(PREFIX) and record.value:
                    newest[record.key] = orjson.loads(record.value)
    return [newest[key] for key in sorted(newest)]


def _print(found: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        typer.echo(orjson.dumps(found).decode())
        return
    heads = ["action", "treated", "control", "measure", "treated", "control", "difference"]
    rows = [row for each in found for row in _rows(each)]
    print_table([*heads, "95 % at all times", ""], rows)
    for each in found:
        if not each["balanced"]:
            typer.echo(
                f"{each['action']}: {each['control']} in control, and "
                f"{each['expected_control']:.0f} were to be: the groups are not as drawn, so trust "
                "none of its figures"
            )


def _rows(each: dict[str, Any]) -> list[list[str]]:
    return [
        [
            each["action"],
            f"{each['treated']:,}",
            f"{each['control']:,}",
            effect["measure"],
            f"{effect['treated']:.3f}",
            f"{effect['control']:.3f}",
            f"{effect['difference']:+.3f}",
            "–" if effect["low"] is None else f"{effect['low']:+.3f} to {effect['high']:+.3f}",
            effect["verdict"] if each["balanced"] else "groups not as drawn",
        ]
        for effect in each["effects"]
    ]
