"""A worker of a version to come: its customers have one more field, behind all others, and use it.

Run as ``next_version.py``; it stands for the next minor version beside today's in one group.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import msgspec

from crm_online.customers import state, store
from crm_online.customers.state import CustomerState


class NextState(CustomerState, array_like=True, gc=False):
    """A customer as the next version stores them."""

    events_seen: int = 0


def become_next() -> None:
    """Put the next version's customer, and what it does with them, in place of today's."""
    from crm_online import stepping

    apply_event = state.apply_event

    def apply_and_count(customer: Any, event: Any, rules: Any) -> None:
        apply_event(customer, event, rules)
        customer.events_seen += 1

    vars(store)["_decode"] = msgspec.msgpack.Decoder(NextState).decode
    for module in [m for name, m in sys.modules.items() if name.startswith("crm_online")]:
        if vars(module).get("CustomerState") is CustomerState:
            vars(module)["CustomerState"] = NextState
    vars(stepping)["apply_event"] = apply_and_count


def main() -> None:
    from streams.cli import main as run

    import_module("streams.roles.score")  # all that knows customers, before it is changed
    become_next()
    sys.argv = ["crm-online", "worker", "--roles", "all"]
    run()


if __name__ == "__main__":
    main()
