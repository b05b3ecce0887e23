"""What one slice of a batch came to, before any model looks at it."""

from __future__ import annotations

from typing import Final

import msgspec

from crm_online.customers.features import Facts, facts
from crm_online.customers.partition import Partition
from crm_online.customers.state import CustomerState, Prediction
from crm_online.customers.store import encode_state
from crm_online.errors import EventRejected
from crm_online.events import CustomerEvent
from crm_online.items import Item
from crm_online.labels import Settlement, TreatmentSettlement
from crm_online.log import Record
from crm_online.profile import Trait
from crm_online.scores import Interaction, Source

__all__ = ["AFTER_TIMERS", "Moment", "Slice", "Touch"]

# The due time in the order of what comes behind all timers that a record released, and before the
# record itself.
AFTER_TIMERS: Final = 1e12


class Moment(msgspec.Struct, gc=False):
    """A customer at one record of the log: what a score is made of, beside its features."""

    customer: str
    at: float
    cause: str
    source: Source
    message_id: str
    orders: int
    spend: int
    refunds: int
    last_activity: float
    first_seen: float
    event: str
    items: tuple[Item, ...]
    timezone: str
    consent: tuple[str, ...] | None
    traits: dict[str, Trait]
    unsubscribed: bool
    offered: tuple[str, ...]
    trace: bytes = b""

    @classmethod
    def of(
        cls,
        state: CustomerState,
        customer: str,
        at: float,
        cause: str,
        source: Source,
        event: CustomerEvent | None = None,
    ) -> Moment:
        """Take what a score needs from a customer's state, before it moves on.

        Parameters
        ----------
        state, customer
            Of whom.
        at, cause, source
            As in `ScoreUpdate`.
        event
            Where one is the cause.
        """
        return cls(
            customer,
            at,
            cause,
            source,
            "" if event is None else event.message_id,
            state.orders,
            state.spend,
            state.refunds,
            state.last_activity,
            state.first_seen,
            "" if event is None else event.event,
            () if event is None else event.items,
            state.timezone,
            state.consent,
            state.traits,
            state.unsubscribed,
            state.offered,
        )


class Touch(msgspec.Struct, gc=False):
    """The item a customer touched next, beside the list that stood before it."""

    customer: str
    at: float
    source: Source
    session: int
    item: str
    offered: tuple[str, ...]
    model: int


class Slice:
    """What one slice of a batch came to, in log order; row i of `rows` belongs to moment i."""

    def __init__(self, partition: Partition, as_of: int) -> None:
        self.partition = partition
        self.as_of = as_of
        self.events = 0
        self.live: dict[str, CustomerState] = {}
        self.rows: list[Facts] = []
        self.moments: list[Moment] = []
        self.opened: list[tuple[int, Prediction]] = []
        self.settled: list[tuple[Moment, Settlement]] = []
        self.treated: list[tuple[Moment, TreatmentSettlement]] = []
        self.interactions: list[Interaction] = []
        self.touches: list[Touch] = []
        self.wanted: dict[str, Moment] = {}
        self.rejected: list[tuple[Record, EventRejected]] = []
        self.cleaned: list[tuple[Record, tuple[str, ...]]] = []
        self.ticks: list[tuple[Record, float]] = []
        self.expired: dict[str, float] = {}
        self.fired = 0

    def state(self, customer: str) -> CustomerState | None:
        """Return the customer as of this record, or ``None`` for an unknown one."""
        found = self.live.get(customer)
        if found is None and customer not in self.expired:
            found = self.partition.store.load(customer)
        return found

    def add_moment(self, state: CustomerState, moment: Moment) -> int:
        """Keep what a score at this moment needs; returns its row."""
        self.rows.append(facts(state, max(moment.at, state.last_seen)))
        self.moments.append(moment)
        return len(self.rows) - 1

    def keep(self) -> dict[str, bytes]:
        """Take the changed customers into the store; returns their new bytes by customer id."""
        partition = self.partition
        packed = {customer: encode_state(state) for customer, state in self.live.items()}
        partition.store.save(packed)
        for customer, as_of in self.expired.items():
            partition.store.drop(customer)
            partition.gone[customer] = (partition.progress.epoch, as_of)
        partition.pass_over(self.as_of)
        return packed
