"""What `crm-online topics` does: create what is missing, show what differs."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from streams.exits import EXIT_FAILED, say
from streams.screen import screen
from streams.topics import Difference, TopicPlan, create_missing, differences, plan

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["show_topics"]


def show_topics(settings: Settings, *, json: bool) -> int:
    """Create and compare; returns 1 where a topic is not as planned.

    Parameters
    ----------
    settings
        Of the whole program. With ``declare_topics`` off, nothing is created.
    json
        Print JSON in place of a table.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers.
    """
    declared = settings.model_copy(update={"declare_topics": True})
    found = differences(declared)
    created: list[str] = []
    if settings.declare_topics and not _has_other_partitions(found):
        created = create_missing(settings)
        found = differences(declared) if created else found
    if json:
        _print_json(plan(settings), created, found)
    else:
        _print_table(plan(settings), created, found)
        _explain(settings, found)
    return EXIT_FAILED if found else 0


def _has_other_partitions(found: Sequence[Difference]) -> bool:
    """Keyed topics of unlike numbers of partitions do not work together: create none."""
    return any(each.name == "partitions" for each in found)


def _print_json(
    planned: Sequence[TopicPlan], created: list[str], found: Sequence[Difference]
) -> None:
    about = {
        "topics": [topic.name for topic in planned],
        "created": created,
        "differences": [difference._asdict() for difference in found],
    }
    sys.stdout.write(json_module.dumps(about, indent=2) + "\n")


def _print_table(
    planned: Sequence[TopicPlan], created: Collection[str], found: Sequence[Difference]
) -> None:
    table = Table("topic", "partitions", "cleanup", "state", box=None, pad_edge=False)
    missing = {each.topic for each in found if each.found is None}
    differing = {each.topic for each in found} - missing
    for topic in planned:
        state = "created" if topic.name in created else "there"
        state = "missing" if topic.name in missing else state
        state = "differs" if topic.name in differing else state
        table.add_row(topic.name, str(topic.partitions), topic.config["cleanup.policy"], state)
    console = screen()
    console.print(table)
    for each in found:
        if each.found is not None:
            text = f"{each.topic}: {each.name} is {each.found}, planned {each.planned}"
            console.print(text, style="yellow", markup=False)


def _explain(settings: Settings, found: Sequence[Difference]) -> None:
    if any(each.found is not None for each in found):
        say(
            "what differs was left as it is: alter it by Kafka's own kafka-configs.sh or "
            "kafka-topics.sh, or make the settings say what is there"
        )
    if any(each.found is None for each in found):
        why = (
            "no topic is created beside one with another number of partitions"
            if settings.declare_topics
            else "CRM_DECLARE_TOPICS is off: create them by hand"
        )
        say(f"topics are missing: {why}")
