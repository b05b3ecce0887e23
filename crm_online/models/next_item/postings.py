"""Kernels: posting lists, growing rings of the newest sessions of each item in one arena."""

from __future__ import annotations

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import (
    ARENA_USED,
    CAPACITY,
    POSTINGS,
    SESSIONS,
    SMALLEST_RING,
    START,
    WRITTEN,
    Index,
    Int32,
)

__all__ = ["free_ring", "has_room", "post", "take_block"]


@compiled
def has_room(index: Index) -> bool:
    """Tell whether the arena can take one more posting, whatever has to grow for it."""
    return bool(len(index.arena) - index.clock[ARENA_USED] >= POSTINGS)


@compiled
def _power(size: int) -> int:
    power = 0
    while (1 << power) < size:
        power += 1
    return power


@compiled
def take_block(size: int, index: Index) -> int:
    """Take a block of the arena, one given back if there is any; `size` is a power of two."""
    power = _power(size)
    block = index.free_blocks[power] - 1
    if block >= 0:
        index.free_blocks[power] = index.arena[block]
        return int(block)
    block = index.clock[ARENA_USED]
    index.clock[ARENA_USED] += size
    return int(block)


@compiled
def free_ring(ring: Int32, index: Index) -> None:
    """Give an item's block back and empty its ring."""
    if ring[CAPACITY] > 0:
        power = _power(ring[CAPACITY])
        index.arena[ring[START]] = index.free_blocks[power]
        index.free_blocks[power] = ring[START] + 1
    ring[:] = 0


@compiled
def _grow(ring: Int32, index: Index) -> None:
    """Move a full ring to a block of twice the size, oldest posting first."""
    start, capacity, written = ring[START], ring[CAPACITY], ring[WRITTEN]
    larger = max(SMALLEST_RING, 2 * capacity)
    block = take_block(larger, index)
    for entry in range(capacity):
        index.arena[block + entry] = index.arena[start + ((written + entry) & (capacity - 1))]
    free_ring(ring, index)
    ring[START], ring[CAPACITY], ring[WRITTEN] = block, larger, capacity


@compiled
def post(item: int, sequence: int, index: Index) -> None:
    """Post a session under an item.

    A full ring overwrites its oldest posting if that is dead or the ring has reached its
    largest size; otherwise it grows, so that memory follows the live postings.
    """
    ring = index.rings[item]
    capacity, written = ring[CAPACITY], ring[WRITTEN]
    if written >= capacity and capacity < POSTINGS:
        newest = index.clock[SESSIONS]
        slots = len(index.session_keys)
        full_of_live = True
        if capacity > 0:
            oldest = index.arena[ring[START] + (written & (capacity - 1))]
            full_of_live = ((newest - oldest) & 0xFFFFFFFF) < slots
        if full_of_live:
            _grow(ring, index)
            capacity, written = ring[CAPACITY], ring[WRITTEN]
    index.arena[ring[START] + (written & (capacity - 1))] = sequence
    written += 1
    ring[WRITTEN] = capacity if written == 2 * capacity else written
