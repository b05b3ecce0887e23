"""Kernels: items of an open session that the index does not know, under numbers lent to them.

Nobody else's sessions say anything about such an item, but its own session does: customers come
back to what they looked at. Spare rows at the end of every array, always zero, stand for it.
"""

from __future__ import annotations

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import GONE, Int32

__all__ = ["call_back", "lent_number", "take_session"]


@compiled
def take_session(items: Int32, spare: int, session: Int32, strangers: Int32) -> int:
    """Copy a session's items, lending numbers to strangers.

    Parameters
    ----------
    items
        At most 16 item numbers, oldest first; negative ones are strangers, 0 ends them.
    spare
        The first number to lend.
    session
        int32 (16,): filled.
    strangers
        int32 (16,): filled with the negative numbers of those that were lent one.

    Returns
    -------
    How many items were copied; evicted ones are left out.
    """
    copied, lent = 0, 0
    strangers[:] = 0
    for place in range(len(items)):
        item = items[place]
        if item == 0:
            break
        if item == GONE:
            continue
        if item < 0:
            number = lent_number(item, spare, strangers)
            if number == 0:
                strangers[lent] = item
                number = spare + lent
                lent += 1
            item = number
        session[copied] = item
        copied += 1
    return copied


@compiled
def lent_number(item: int, spare: int, strangers: Int32) -> int:
    """Return the number lent to a stranger; 0 where none is."""
    for place in range(len(strangers)):
        if strangers[place] == item:
            return spare + place
    return 0


@compiled
def call_back(numbers: Int32, spare: int, strangers: Int32) -> None:
    """Put the strangers' own negative numbers in place of those lent to them."""
    for place in range(len(numbers)):
        if numbers[place] >= spare:
            numbers[place] = strangers[numbers[place] - spare]
