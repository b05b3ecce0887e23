"""One partition of ``crm.scores`` as `act` holds it: customers, timers, rules and rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from crm_online.actions.rate import Order, Rate, last_counted
from crm_online.actions.rules import RuleSet
from crm_online.actions.state import ActionState, decode
from crm_online.customers.partition import Partition, PartitionRestore
from crm_online.errors import SnapshotError
from crm_online.log import Origin

__all__ = ["RULES", "ActionPartition", "ActionRestore"]

# Not an id that a customer can have: ids hold no control characters.
RULES: Final = "\x01rules"


class ActionPartition(Partition):
    """What is held of one partition while this process owns it."""

    __slots__ = ("rate", "rules")

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.rules: RuleSet | None = None
        self.rate = Rate(self.progress.own)

    def load(self, customer: str) -> ActionState | None:
        """Decode a customer, or return ``None`` for an unknown one."""
        packed = self.store.packed.get(customer)
        return None if packed is None else decode(packed)


class ActionRestore(PartitionRestore):
    """A partition while it is read back, with the rule set in force and the rate.

    Parameters
    ----------
    partition
        A new one, filled here.
    """

    def __init__(self, partition: ActionPartition) -> None:
        super().__init__(partition)
        self._held = partition

    def finish(self, origin: Origin | None = None) -> int:
        """Build the timers, read the rules; return the offset to go on from.

        Raises
        ------
        SnapshotError
            Where a newer version of the program wrote the rules.
        """
        start = super().finish(origin)
        held = self._held
        rules = held.load(RULES)
        held.rules = None if rules is None else _read(rules.rules)
        held.rate = Rate(held.progress.own, self._ahead())
        return start

    def _ahead(self) -> Iterator[tuple[Order, float]]:
        """Return what snapshots behind the partition's own record let through, not yet counted."""
        held = self._held
        passed, last = held.passed, last_counted(held.progress.own)
        for customer in held.ahead:
            for send in decode(held.store.packed[customer]).sends:
                order = send.epoch, send.as_of, send.due, customer
                if (send.epoch, send.as_of) > passed and order > last:
                    yield order, send.at


def _read(text: str) -> RuleSet:
    try:
        return RuleSet.model_validate_json(text)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise SnapshotError(
            f"the rules in force hold what this version does not know ({places}): a newer "
            "crm-online wrote them; start the newer version"
        ) from None
