"""The role `act`: turns scores into actions by the rules of a file, which may change meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

import structlog

from crm_online.actions.acting import Actor
from crm_online.actions.files import check_traits, read_rules_file
from crm_online.actions.rules import RuleSet
from crm_online.deciding import rules
from crm_online.errors import ConfigurationError
from crm_online.settings import Settings
from streams.figures import RoleFigures
from streams.lease import Lease, LeaseLost
from streams.processor import Processor
from streams.producer import OutputProducer
from streams.roles.tasks import Stop, Tasks

__all__ = ["ActRole"]

POLL_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class ActRole:
    """Decides on actions; puts the rule set of its file onto each partition that it holds.

    Parameters
    ----------
    settings
        Of the whole program.
    stop
        Ends the process with a reason.
    lease
        Whether the partitions are still ours; nothing is written without it.

    Raises
    ------
    ConfigurationError
        Where there is no rules file, or a fault in it.
    """

    nouns: ClassVar = ("scores", "action-state", "actions", "events")
    waits_for: ClassVar = ""

    def __init__(self, settings: Settings, stop: Stop, lease: Lease | None = None) -> None:
        if settings.rules_file is None:
            raise ConfigurationError(
                "the role act has nothing to do: name a file of rules in CRM_RULES_FILE, or leave "
                "act out of --roles"
            )
        self._file = settings.rules_file
        self._settings = settings
        self._key = settings.signing_key.get_secret_value().encode()
        self._tasks = Tasks(stop)
        self._stamp = _stamp(self._file)
        self._asked: dict[int, str] = {}
        self._told: dict[int, int] = {}
        self.rules = self._read()
        self.actor = Actor(settings)
        self.producer = OutputProducer(settings, stop, lease)
        self.processor = Processor(
            self.actor,
            self.producer,
            settings,
            stop,
            source="scores",
            state="action-state",
            standing=(),
        )

    def figures(self) -> RoleFigures:
        """Say what was done so far."""
        counted = self.processor.figures
        return RoleFigures(
            consumed=counted.events,
            produced=self.producer.delivered,
            batches=counted.batches,
            batch_seconds=counted.seconds,
            restored=counted.restored,
            restore_seconds=counted.restore_seconds,
            actions=dict(self.actor.decided),
        )

    @property
    def restoring(self) -> tuple[int, int]:
        """Records read back so far, and offsets that are left to read."""
        return self.processor.restoring

    async def open(self) -> None:
        """Connect before the group is joined."""
        await self.producer.start()
        self._tasks.begin(self._keep_rules())
        self._tasks.begin(self.processor.guard.run())

    async def close(self) -> None:
        """Let go of everything."""
        await self._tasks.end()
        await self.producer.stop()

    def _read(self) -> RuleSet:
        found = read_rules_file(self._file)
        check_traits(found, frozenset(self._settings.kept_traits))
        return found

    async def _keep_rules(self) -> None:
        stamp = self._stamp
        while True:
            await asyncio.sleep(POLL_SECONDS)
            stamp, before = _stamp(self._file), stamp
            if stamp == before != self._stamp:  # whoever writes it is done
                self._stamp = stamp
                await self._reload()
            with suppress(LeaseLost):
                await self._put_into_force()
            self._tell_of_gaps()

    async def _reload(self) -> None:
        """Take what the file says now; while there is a fault in it, go on with what it said."""
        try:
            self.rules = await asyncio.to_thread(self._read)
        except ConfigurationError as error:
            _log.error("the rules stay as they were", reason=str(error))
        else:
            _log.info("rules were read", rules=len(self.rules.rules), version=self.rules.version)

    async def _put_into_force(self) -> None:
        """Write the rule set onto each partition where another one, or none, is in force."""
        owned, wanted = self.processor.owned, self.rules.version
        self._asked = {p: version for p, version in self._asked.items() if p in owned}
        for partition in sorted(owned):
            if wanted not in {self.actor.version(partition), self._asked.get(partition)}:
                message = rules(self._key, self.rules.text.encode())
                await self.processor.append("scores", partition, message)
                self._asked[partition] = wanted  # it takes until we have read up to there

    def _tell_of_gaps(self) -> None:
        """Say once where compaction was faster than we are: nothing came of what it took."""
        for partition, held in list(self.actor.partitions.items()):
            missed = held.progress.own.get("missed", 0)
            if missed > self._told.setdefault(partition, missed):
                _log.warning(
                    "scores were compacted away before they were read: nothing came of them",
                    partition=partition,
                    scores=missed - self._told[partition],
                )
            self._told[partition] = missed


def _stamp(file: Path) -> tuple[int, int, int]:
    """Return what changes when a file does; a file that is away for now has not changed."""
    try:
        found = file.stat()
    except OSError:
        return -1, -1, -1
    return found.st_mtime_ns, found.st_size, found.st_ino
