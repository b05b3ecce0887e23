"""What `crm-online endpoints list` and `enable` do."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from rich.table import Table
from rich.text import Text

from streams.delivering.standing import Said, message
from streams.exits import EXIT_FAILED, say
from streams.masking import masked
from streams.screen import screen
from streams.topics import partition_count
from streams.upkeep.scanning import Scan
from streams.upkeep.work import Work
from streams.upkeep.writing import writing

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["enable_endpoint", "list_endpoints"]


def list_endpoints(settings: Settings, *, json: bool = False) -> int:
    """Print how each endpoint of the settings stands; returns 1 where one is disabled.

    Parameters
    ----------
    settings
        Of the whole program.
    json
        Print JSON in place of a table.
    """
    said = asyncio.run(_standings(settings))
    rows = {each.name: said.get(each.name, _well(each.name)) for each in settings.webhooks}
    urls = {each.name: masked(each)["url"] for each in settings.webhooks}
    if json:
        found = [msgspec.to_builtins(row) | {"url": urls[name]} for name, row in rows.items()]
        sys.stdout.write(json_module.dumps(found, indent=2) + "\n")
    elif rows:
        table = Table("endpoint", "url", "state", "since", "why", box=None, pad_edge=False)
        for name, row in rows.items():
            since = row.since.isoformat(timespec="seconds") if row.state != "well" else ""
            table.add_row(*map(Text, (name, urls[name], row.state, since, row.why)))
        screen().print(table)
    else:
        say("there are no endpoints: name some in CRM_WEBHOOKS")
    return EXIT_FAILED if any(row.state == "disabled" for row in rows.values()) else 0


def enable_endpoint(settings: Settings, name: str) -> int:
    """Let the actions of a disabled endpoint go on; returns 1 where there is none of that name.

    Parameters
    ----------
    settings
        Of the whole program.
    name
        Of the endpoint.
    """
    return asyncio.run(_enable(settings, name))


async def _enable(settings: Settings, name: str) -> int:
    said = (await _standings(settings)).get(name)
    if said is None and name not in {each.name for each in settings.webhooks}:
        say(f"there is no endpoint {name!r}; `crm-online endpoints list` shows all")
        return EXIT_FAILED
    if said is None or said.state != "disabled":
        say(f"{name} is not disabled")
        return 0
    async with writing(settings) as writer:
        await writer.write("endpoints", 0, [message(_well(name))])
    say(f"{name} is enabled: its actions go on where they stopped")
    return 0


def _well(name: str) -> Said:
    return Said(name, "well", datetime.now(UTC))


async def _standings(settings: Settings) -> dict[str, Said]:
    await asyncio.to_thread(partition_count, settings, "endpoints")
    found: dict[str, Said] = {}
    async with Scan(settings, Work()) as scan:
        bounds = await scan.bounds("endpoints", 1)
        async for _, records in scan.read("endpoints", bounds, "reading the endpoints"):
            for record in records:
                if record.value is not None:
                    said = msgspec.json.decode(record.value, type=Said)
                    found[said.endpoint] = said
    return found
