"""A trace goes from an event to what it causes, and is as much a function of the log as that."""

from __future__ import annotations

import pytest

from crm_online.inprocess import InProcess
from crm_online.log import Header, LogRecord, Message
from crm_online.settings import Settings
from tests import builders
from tests.acting import HOUR, START, Scores, process, rule_set, score, tick

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = f"00-{TRACE_ID}-b7ad6b7169203331-01".encode()


def caused(*headers: Header) -> dict[str, list[Message]]:
    record = LogRecord(
        0, int(builders.START * 1000), b"ann", builders.product_viewed("p-1"), headers
    )
    [effects] = InProcess(Settings()).process(0, [record])
    return effects.outputs


def traces(messages: list[Message]) -> list[bytes]:
    return [dict(message.headers).get("traceparent", b"") for message in messages]


def test_scores_and_lists_carry_on_the_trace_of_their_event() -> None:
    outputs = caused(("traceparent", TRACE))
    for noun in ("scores", "recommendations"):
        [trace], [message] = traces(outputs[noun]), outputs[noun]
        version, trace_id, span, flags = trace.decode().split("-")
        assert (version, trace_id, flags) == ("00", TRACE_ID, "01")
        assert span == dict(message.headers)["ce_id"].decode()[:16]


def test_an_action_carries_on_the_trace_of_its_score_and_a_timer_has_none() -> None:
    rules = rule_set({"when": {"segment_entered": "lost"}}, {"when": {"silent_days": 3}})
    log = Scores()
    log.add(rules, score("ann", START), score("ann", START + HOUR, segment="lost"))
    log.records[-1] = log.records[-1]._replace(headers=(("traceparent", TRACE),))
    log.add(tick(START + 9 * 24 * HOUR))
    decided = [m for each in process(log.records) for m in each.outputs.get("actions", ())]
    first, last = traces(decided)
    assert first.startswith(b"00-" + TRACE_ID.encode())
    assert first.split(b"-")[2] == dict(decided[0].headers)["ce_id"][:16]
    assert last == b""


def test_a_replay_repeats_it_to_the_byte() -> None:
    assert caused(("traceparent", TRACE)) == caused(("traceparent", TRACE))


@pytest.mark.parametrize(
    "header", [b"", b"00", TRACE + b"0", b"ff" + TRACE[2:], TRACE.upper(), b"00-" + b"0" * 32]
)
def test_what_is_no_trace_is_not_carried_on(header: bytes) -> None:
    for outputs in (caused(("traceparent", header)), caused(("other", TRACE)), caused()):
        assert traces(outputs["scores"]) == [b""]
