"""What a person should look at in a profile, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from crm_online.cleaning.texts import spelled

if TYPE_CHECKING:
    from crm_online.profiling.report import FieldProfile, Profile

__all__ = ["findings"]

FEW: Final = 0.001  # of all events: less is said nowhere
SHARED_IDS: Final = 5
BUSY: Final = 0.05  # of all events by one customer
SPARSE_DAYS: Final = 30
_MEASURES: Final = ("price", "quantity", "revenue", "total", "value")
_IDS: Final = ("userId", "anonymousId", "messageId")


def findings(profile: Profile) -> list[str]:
    """Say what may make scores worse than they could be, or wrong.

    Parameters
    ----------
    profile
        Complete but for these.

    Returns
    -------
    list of str
        The gravest first; empty where there is nothing to say.
    """
    if not profile.records:
        return ["there is no record at all"]
    parts = (_refused, _cleaned, _names, _people, _repeats, _orders, _fields, _times)
    return [sentence for part in parts for sentence in part(profile)]


def _refused(profile: Profile) -> Iterator[str]:
    refused = sum(profile.rejected.values())
    if refused:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in profile.rejected.items())
        yield f"{_share(refused, profile.records)} of the records would be dead letters: {reasons}"


def _cleaned(profile: Profile) -> Iterator[str]:
    if profile.repairs:
        rules = ", ".join(f"{rule} {count:,}" for rule, count in profile.repairs.items())
        yield f"events are dirty, and cleaned where strictness is repair: {rules}"


def _names(profile: Profile) -> Iterator[str]:
    if profile.events and not any(name.known for name in profile.names):
        yield "no event has a name of the Segment spec, so none says what a customer did"
    for name in profile.names:
        meant = "" if name.known else spelled(name.name)
        if meant:
            yield (
                f"{name.events:,} events are called {name.name!r}, the spec writes {meant!r}: they "
                "are read so where strictness is repair"
            )


def _people(profile: Profile) -> Iterator[str]:
    people = profile.customers
    if people.events and people.most > BUSY * people.events and people.count > 1 / BUSY:
        yield (
            f"one customer has {_share(people.most, people.events)} of all events: "
            "a bot, a test account or an id that many share"
        )
    if people.alike:
        yield f"{people.alike:,} customer ids differ from another in capitals or blanks only"
    if profile.shared > SHARED_IDS:
        yield f"one anonymousId stands with {profile.shared:,} userIds: a device that many share"
    if profile.items.alike:
        yield f"{profile.items.alike:,} item ids differ from another in capitals or blanks only"


def _repeats(profile: Profile) -> Iterator[str]:
    if profile.same_id:
        yield (
            f"{_share(profile.same_id, profile.events)} of the events repeat a messageId: "
            "the job counts each once, within a day"
        )
    if profile.same_content > FEW * profile.events:
        yield (
            f"{_share(profile.same_content, profile.events)} of the events say the same at the "
            "same time as another under another messageId, or none: each is counted"
        )
    if profile.unnamed > FEW * profile.events:
        yield (
            f"{_share(profile.unnamed, profile.events)} of the events have no messageId: what is "
            "sent twice is counted twice"
        )


def _orders(profile: Profile) -> Iterator[str]:
    orders = profile.orders
    if not orders.orders:
        if profile.events:
            yield "there is no order: expected value and segments by money cannot be told"
        return
    if orders.worthless:
        yield f"{_share(orders.worthless, orders.orders)} of the orders are worth nothing or less"
    if orders.unnamed:
        yield f"{_share(orders.unnamed, orders.orders)} of the orders have no order_id"
    if orders.repeated:
        yield f"{_share(orders.repeated, orders.orders)} of the orders repeat an order_id"
    if len(orders.currencies) > 1:
        names = ", ".join(
            f"{each.currency or 'none'} {each.orders:,}" for each in orders.currencies[:5]
        )
        yield f"orders are in {len(orders.currencies)} currencies: {names}"


def _fields(profile: Profile) -> Iterator[str]:
    for field in profile.fields:
        name = field.path.rpartition(".")[2]
        if field.path in _IDS and field.nothing:
            yield f"{field.path} is a word for nothing, such as null, in {field.nothing:,} events"
        if field.path in _IDS and field.blank:
            yield f"{field.path} is blank, or has blanks around it, in {field.blank:,} events"
        if name in _MEASURES:
            yield from _measure(field)
        elif len(field.types) > 1 and set(field.types) != {"whole number", "number"}:
            types = ", ".join(f"{kind} {count:,}" for kind, count in field.types.items())
            yield f"{field.path} has several types: {types}"


def _measure(field: FieldProfile) -> Iterator[str]:
    if "text" in field.types:
        yield f"{field.path} is a text in {field.types['text']:,} events; numbers in it are read"
    if field.low is not None and field.low < 0.0:
        yield f"{field.path} goes below zero, to {field.low:g}"


def _times(profile: Profile) -> Iterator[str]:
    late = profile.lateness
    if late.events > FEW * profile.events:
        yield (
            f"{_share(late.events, profile.events)} of the events stand behind a later one, by up "
            f"to {late.worst_days:.1f} days"
        )
    if profile.gaps and len(profile.days) > SPARSE_DAYS:
        gap = profile.gaps[0]
        yield f"nobody did anything for {gap.hours:,} hours from {gap.since:%Y-%m-%d %H:%M} on"


def _share(part: int, whole: int) -> str:
    share = part / max(whole, 1)
    return f"{share:.1%}" if share >= FEW else f"{part:,}"
