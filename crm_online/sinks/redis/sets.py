"""Changes to the sets that marketing pages through, gathered into few commands."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from crm_online.sinks.redis.connection import Command
from crm_online.sinks.redis.keys import Keys

__all__ = ["Done", "Sets"]

Done = tuple[int | str, bytes | str]


class Sets:
    """What one round of writes changes in the sets of all customers.

    Parameters
    ----------
    keys
        Names of everything.
    ttl_ms
        After which a set that nobody writes to is gone.
    """

    def __init__(self, keys: Keys, ttl_ms: int) -> None:
        self._keys = keys
        self._ttl = ttl_ms
        self._members: defaultdict[str, list[str]] = defaultdict(list)
        self._risks: list[str] = []
        self._gone: defaultdict[str, list[str]] = defaultdict(list)
        self.moved: dict[str, Done] = {}

    def place(self, customer: str, segment: str, risk: str) -> None:
        """Put a customer into the set of a segment, and into the ranking where ``risk`` is one."""
        self._members[segment].append(customer)
        if risk:
            self._risks += risk, customer

    def move(self, customer: str, reply: list[Any]) -> None:
        """Take the script's ``{version, segment, risk, before, left...}``."""
        version, segment, risk, _, *left = reply
        if segment:
            self.place(customer, segment.decode(), risk.decode())
        for key in left:
            self._gone[key.decode()].append(customer)
        self.moved[customer] = version, segment

    def commands(self) -> list[Command]:
        """Add first, then take away: a reader meets a customer twice rather than never."""
        keys, commands = self._keys, list[Command]()
        for key, members in self._members.items():
            commands += ("SADD", key, *members), ("PEXPIRE", key, self._ttl)
        if self._members:
            names = map(keys.segment_name, self._members)
            commands += ("SADD", keys.segments, *names), ("PEXPIRE", keys.segments, self._ttl)
        if self._risks:
            commands += ("ZADD", keys.at_risk, *self._risks), ("PEXPIRE", keys.at_risk, self._ttl)
        for key, members in self._gone.items():
            commands.append(("ZREM" if key == keys.at_risk else "SREM", key, *members))
        return commands
