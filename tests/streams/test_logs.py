"""The log stays readable while a broker is away."""

from __future__ import annotations

import logging

from streams.logs import Sparing


class Clock:
    """Moved by the test."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(message: str, *arguments: object, name: str = "aiokafka.conn") -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "", 0, message, arguments, None)


def test_the_same_message_passes_once_and_says_how_many_did_not() -> None:
    clock = Clock()
    sparing = Sparing(10.0, clock)
    passed = [sparing.filter(record("no node %s", node)) for node in range(5)]
    assert passed == [True, False, False, False, False]
    assert sparing.filter(record("another message"))
    clock.now = 10.0
    again = record("no node %s", 7)
    assert sparing.filter(again)
    assert again.getMessage() == "no node 7 (4 more like this were left out)"
    clock.now = 20.0
    last = record("no node %s", 8)
    assert sparing.filter(last)
    assert last.getMessage() == "no node 8"


def test_our_own_messages_always_pass() -> None:
    sparing = Sparing(10.0, Clock())
    assert all(sparing.filter(record("the same", name="streams.worker")) for _ in range(3))
