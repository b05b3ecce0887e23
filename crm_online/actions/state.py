"""What is known of one customer's actions, as it rests on ``crm.action-state``."""

from __future__ import annotations

from typing import Final

import msgspec

from crm_online.customers.store import peek
from crm_online.profile import Trait
from crm_online.scores import Reason

__all__ = ["NEVER", "ActionState", "Held", "Latest", "Send", "Spark", "View", "decode", "encode"]

Mark = tuple[int, int, int, float, int]
NEVER: Final[Mark] = (-1, -1, 0, 0.0, 0)


class Latest(msgspec.Struct, array_like=True, gc=False):
    """What the newest score says that actions are made of."""

    score_id: str
    segment: str
    churn_probability: float | None
    calibrated: bool
    reasons: list[Reason]
    expected_value: float | None
    currency: str
    orders: int
    spend: float
    timezone: str
    consent: list[str] | None
    traits: dict[str, Trait]
    recommended: list[str]
    unsubscribed: bool = False


class Spark(msgspec.Struct, array_like=True, gc=False):
    """One trigger that came true: its kind, when, in words, and about which item."""

    kind: str
    at: float
    text: str
    item: str = ""


class Send(msgspec.Struct, array_like=True, gc=False):
    """One action that counts towards caps, and where on the log it was decided."""

    at: float
    action: str
    channel: str
    as_of: float
    due: float = 0.0
    epoch: int = 0


class Held(msgspec.Struct, array_like=True, gc=False):
    """One action that quiet hours hold back."""

    due: float
    rule: str
    action_id: str
    sparks: list[Spark]


class View(msgspec.Struct, array_like=True, gc=False):
    """One item that was viewed and not bought since; times in order."""

    item: str
    times: list[float]


class ActionState(msgspec.Struct, array_like=True, gc=False):
    """One customer. The first four fields are the prefix that `peek` reads.

    Fields may be appended with defaults. Times are seconds since 1970.

    Parameters
    ----------
    version, epoch, as_of, next_due
        As in `CustomerState`.
    mark
        Place on ``crm.events`` of the last score applied: repeats are not above it.
    latest
        Of the newest score.
    visited
        Segments left before.
    levels
        Key of a trigger to where it stands: 1 and 0 of thresholds, else the time it fired about.
    views
        The newest, at most 16.
    cart, cart_at
        Items in it, and when that last changed.
    last_activity
        Of the customer.
    sends, held
        What counts towards caps, and what waits.
    sent
        How many actions were ever sent or held out as control.
    drawn
        Action to the period in which its group was last drawn.
    rules
        Under the key of the rule set only: its text.
    ordered_at
        When the customer last bought: what was put into the cart before is in it no more.
    """

    version: int = 1
    epoch: int = 0
    as_of: float = -1.0
    next_due: float = float("inf")

    mark: Mark = NEVER
    latest: Latest | None = None
    visited: list[str] = msgspec.field(default_factory=list)
    levels: dict[str, float] = msgspec.field(default_factory=dict)
    views: list[View] = msgspec.field(default_factory=list)
    cart: list[str] = msgspec.field(default_factory=list)
    cart_at: float = 0.0
    last_activity: float = 0.0
    sends: list[Send] = msgspec.field(default_factory=list)
    held: list[Held] = msgspec.field(default_factory=list)
    sent: int = 0
    rules: str = ""
    drawn: dict[str, str] = msgspec.field(default_factory=dict)
    ordered_at: float = 0.0

    @property
    def place(self) -> tuple[int, float]:
        """How far in the log this is: epoch, then ``as_of``."""
        return self.epoch, self.as_of


encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(ActionState).decode


def decode(packed: bytes) -> ActionState:
    """Decode one snapshot.

    Raises
    ------
    SnapshotError
        Where the bytes are none, or of a newer version of the program.
    """
    peek(packed)
    return _decode(packed)
