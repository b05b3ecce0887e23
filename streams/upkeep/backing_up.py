"""What `crm-online backup` does: states and models into a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crm_online import __version__
from crm_online.customers.progress import Progress, progress_message
from crm_online.errors import ConfigurationError
from crm_online.log import Message
from crm_online.models.snapshots import pack
from streams.admin import Admin
from streams.exits import say
from streams.progress import progress_bar
from streams.upkeep.files import FORMAT, Manifest, Part, write_manifest, write_part
from streams.upkeep.reporting import Report, print_report
from streams.upkeep.scanning import Scan
from streams.upkeep.standing import Standing, look
from streams.upkeep.work import Work

if TYPE_CHECKING:
    from crm_online.customers.partition import Partition
    from crm_online.settings import Settings

__all__ = ["back_up"]

ROLES: Final = ("score", "learn", "act")


def back_up(settings: Settings, folder: Path, *, json: bool) -> int:
    """Copy ``crm.state``, ``crm.action-state`` and ``crm.models`` into a folder.

    Parameters
    ----------
    settings
        Of the whole program.
    folder
        New or empty.
    json
        Print JSON in place of sentences.

    Raises
    ------
    ConfigurationError
        Where the folder holds something, or a topic is missing.
    SnapshotError
        Where something that stands there cannot be read.
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    """
    work, admin = Work(), Admin(settings)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is not empty: name a new folder")
    if any(admin.members(f"{settings.app}-{role}") for role in ROLES):
        say(
            "workers are running: each customer is copied as they are, but not all as of the same "
            "moment; stop the workers first for a copy that goes on exactly",
            style="yellow",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with progress_bar(work.stage):
        manifest = asyncio.run(_back_up(settings, admin, folder, work))
    report = Report("backup", f"backed up to {folder}")
    report.counts = {
        f"records of {noun}": sum(part.records for part in manifest.parts if part.noun == noun)
        for noun in sorted({part.noun for part in manifest.parts})
    }
    return print_report(report, json=json)


async def _back_up(settings: Settings, admin: Admin, folder: Path, work: Work) -> Manifest:
    async with Scan(settings, work) as scan:
        standing = await look(settings, admin, scan)
        parts, applied = [], dict[int, Progress]()
        for number, span in (await scan.bounds("state", standing.kept)).items():
            held, _ = await scan.partition(number, span, f"copying states of partition {number}")
            if number in standing.records:
                applied[number] = held.progress
            has_record = number in standing.records
            parts.append(write_part(folder, "state", number, _states(held, has_record), span[1]))
        parts += await _copy_actions(settings, admin, scan, folder)
        parts.append(_models(settings, standing, folder))
    manifest = Manifest(
        FORMAT,
        __version__,
        settings.app,
        standing.kept,
        {"events": standing.origin.topic_id}
        | {noun: each.topic_id for noun, each in standing.inputs.items()},
        {p: (each.epoch, each.as_of, each.watermark) for p, each in applied.items()},
        parts,
    )
    write_manifest(folder, manifest)
    return manifest


def _states(held: Partition, has_record: bool) -> Iterator[Message]:  # noqa: FBT001 - see the caller
    """Return what stands of a partition, its own record last, as when it was written."""
    for customer, packed in held.store.packed.items():
        yield Message(customer.encode(), packed)
    if has_record:
        yield progress_message(held.progress)


async def _copy_actions(settings: Settings, admin: Admin, scan: Scan, folder: Path) -> list[Part]:
    """Copy the state of the role `act` record by record."""
    noun, parts = "action-state", []
    count = admin.partitions().get(settings.topic(noun), (0, 0))[0]
    for number, span in (await scan.bounds(noun, count)).items():
        found: list[Message] = []
        async for _, records in scan.read(noun, {number: span}, "copying states of actions"):
            found += [Message(r.key, r.value, list(r.headers)) for r in records]
        if found:
            parts.append(write_part(folder, noun, number, found, span[1]))
    return parts


def _models(settings: Settings, standing: Standing, folder: Path) -> Part:
    key = settings.signing_key.get_secret_value().encode()
    messages = [
        message
        for each in standing.models.newest.values()
        for message in pack(
            each.name, each.offset, each.model, key, epoch=each.epoch, topic_id=each.topic_id
        )
    ]
    return write_part(folder, "models", 0, messages, standing.models.end)
