"""What `crm-online restore` does: a backup onto a broker that holds nothing yet."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from crm_online.errors import ConfigurationError
from crm_online.log import LogRecord
from crm_online.models.snapshots import SnapshotReader
from streams.admin import Admin
from streams.progress import progress_bar
from streams.topics import create_missing
from streams.upkeep.files import Manifest, read_manifest, read_part
from streams.upkeep.reporting import Report, print_report
from streams.upkeep.work import Work, ensure_stopped
from streams.upkeep.writing import writing

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["put_back"]


def put_back(settings: Settings, folder: Path, *, json: bool) -> int:
    """Write a backup to the topics, which must be empty; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    folder
        From `back_up`.
    json
        Print JSON in place of sentences.

    Raises
    ------
    ConfigurationError
        Where workers run, a topic holds records, or the settings do not fit the backup.
    SnapshotError
        Where a file is damaged or of a newer version, or a model is signed with another key.
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    """
    manifest = read_manifest(folder)
    work, admin = Work(), Admin(settings)
    _check(settings, manifest, folder)
    ensure_stopped(settings, admin)
    create_missing(settings)
    _check_empty(settings, admin, manifest)
    with progress_bar(work.stage):
        written = asyncio.run(_write(settings, manifest, folder, work))
    report = Report("restore", f"restored from {folder}", {"records": written})
    report.then = "run `crm-online adopt` next: the state is of another log than the one here"
    return print_report(report, json=json)


def _check(settings: Settings, manifest: Manifest, folder: Path) -> None:
    if settings.partitions != manifest.partitions:
        raise ConfigurationError(
            f"the backup has {manifest.partitions} partitions and CRM_PARTITIONS says "
            f"{settings.partitions}: set CRM_PARTITIONS={manifest.partitions}"
        )
    snapshots = SnapshotReader(settings.signing_key.get_secret_value().encode())
    for part in manifest.parts:
        for messages in read_part(folder, part):  # whole, or not at all
            if part.noun == "models":  # signed with our key, or not at all
                snapshots.apply(LogRecord(0, 0, *message) for message in messages)


def _check_empty(settings: Settings, admin: Admin, manifest: Manifest) -> None:
    for noun in sorted({part.noun for part in manifest.parts}):
        topic = settings.topic(noun)
        ends = admin.ends(topic, range(admin.count(topic)))
        if any(ends.values()):
            raise ConfigurationError(
                f"{topic} holds records already: restore onto a fresh broker, or under another "
                "CRM_APP"
            )


async def _write(settings: Settings, manifest: Manifest, folder: Path, work: Work) -> int:
    work.begin("writing", sum(part.records for part in manifest.parts))
    async with writing(settings) as writer:
        for part in manifest.parts:
            for messages in read_part(folder, part):
                await writer.write(part.noun, part.partition, messages)
                work.advance(len(messages))
        return writer.written
