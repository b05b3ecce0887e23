"""Kernels: which slot a customer's session has, and its clicks."""

from __future__ import annotations

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import SESSION_LENGTH, SESSIONS, Index, Int32, Int64, UInt64

__all__ = [
    "append_click",
    "find_slot",
    "hash_session",
    "insert_keys",
    "open_session",
    "sequence_number",
]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR = np.uint64(0x94D049BB133111EB)
SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


@compiled
def hash_session(customer: np.uint64, session: int) -> np.uint64:
    """Hash a customer's hash and a session number to 64 bits (the finaliser of SplitMix64)."""
    mixed = customer + np.uint64(session) * GOLDEN
    mixed = (mixed ^ (mixed >> SHIFTS[0])) * FIRST_FACTOR
    mixed = (mixed ^ (mixed >> SHIFTS[1])) * SECOND_FACTOR
    return mixed ^ (mixed >> SHIFTS[2])


@compiled
def find_slot(key: np.uint64, session_keys: UInt64, key_table: Int32) -> int:
    """Find the slot of a session; -1 where it is not held."""
    mask = len(key_table) - 1
    place = np.int64(key & np.uint64(mask))
    while key_table[place] != 0:
        slot = key_table[place] - 1
        if session_keys[slot] == key:
            return int(slot)
        place = (place + 1) & mask
    return -1


@compiled
def _insert_key(key: np.uint64, slot: int, key_table: Int32) -> None:
    mask = len(key_table) - 1
    place = np.int64(key & np.uint64(mask))
    while key_table[place] != 0:
        place = (place + 1) & mask
    key_table[place] = slot + 1


@compiled
def insert_keys(slots: Int64, session_keys: UInt64, key_table: Int32) -> None:
    """Enter the keys of many slots into an empty table."""
    for slot in slots:
        _insert_key(session_keys[slot], slot, key_table)


@compiled
def _remove_key(key: np.uint64, session_keys: UInt64, key_table: Int32) -> None:
    """Take a key out, and move back the entries behind it that its place had pushed on."""
    mask = len(key_table) - 1
    hole = np.int64(key & np.uint64(mask))
    while session_keys[key_table[hole] - 1] != key:
        hole = (hole + 1) & mask
    place = hole
    while True:
        place = (place + 1) & mask
        if key_table[place] == 0:
            break
        home = np.int64(session_keys[key_table[place] - 1] & np.uint64(mask))
        if ((place - home) & mask) >= ((place - hole) & mask):
            key_table[hole] = key_table[place]
            hole = place
    key_table[hole] = 0


@compiled
def open_session(key: np.uint64, index: Index) -> int:
    """Return the slot of a session; a new one takes the slot of the oldest."""
    slot = find_slot(key, index.session_keys, index.key_table)
    if slot >= 0:
        return slot
    index.clock[SESSIONS] += 1
    slots = len(index.session_keys)
    slot = int(index.clock[SESSIONS] & (slots - 1))
    if index.clock[SESSIONS] > slots:
        _remove_key(index.session_keys[slot], index.session_keys, index.key_table)
    index.session_keys[slot] = key
    index.sessions[slot, :] = 0
    _insert_key(key, slot, index.key_table)
    return slot


@compiled
def sequence_number(slot: int, newest: int, slots: int) -> int:
    """Return the sequence number of the session that a slot holds now."""
    return newest - ((newest - slot) & (slots - 1))


@compiled
def append_click(row: Int32, item: int) -> int:
    """Append a click to a session's row, dropping the oldest of a full one; return its place."""
    length = 0
    while length < SESSION_LENGTH and row[length] != 0:
        length += 1
    if length == SESSION_LENGTH:
        for place in range(SESSION_LENGTH - 1):
            row[place] = row[place + 1]
        length -= 1
    row[length] = item
    return length
