"""What `crm-online topics` does: create what is missing, show what differs."""

from __future__ import annotations

import json as json_module
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from streams.topics import create_missing, differences, plan

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["show_topics"]


def show_topics(settings: Settings, *, json: bool) -> int:
    """Create and compare; returns 1 where an existing topic is not as planned."""
    created = create_missing(settings)
    differing = differences(settings)
    if json:
        found = {
            "topics": [topic.name for topic in plan(settings)],
            "created": created,
            "differences": [difference._asdict() for difference in differing],
        }
        sys.stdout.write(json_module.dumps(found, indent=2) + "\n")
        return int(bool(differing))
    console = Console()
    table = Table("topic", "partitions", "cleanup", "state", box=None, pad_edge=False)
    wrong = {difference.topic for difference in differing}
    for topic in plan(settings):
        state = "created" if topic.name in created else "there"
        state = "differs" if topic.name in wrong else state
        table.add_row(topic.name, str(topic.partitions), topic.config["cleanup.policy"], state)
    console.print(table)
    for each in differing:
        console.print(f"{each.topic}: {each.name} is {each.found}, planned {each.planned}", style="yellow")
    if differing:
        console.print("Nothing was changed: alter them with kafka-configs.sh, or change the settings.")
    return int(bool(differing))
