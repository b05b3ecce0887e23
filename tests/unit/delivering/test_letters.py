"""What is posted, how it is signed, and when it is tried again."""

from __future__ import annotations

import time

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from crm_online.contract.actions import Action
from crm_online.endpoints import Endpoint
from crm_online.log import LogRecord
from crm_online.settings import Settings
from streams.delivering.ledger import Ledger
from streams.delivering.letters import Letter, of_action, of_retry, retry
from streams.delivering.schedule import Schedule, retry_after
from streams.delivering.signing import Signer
from streams.masking import masked
from tests.receiving import SECRET, action, endpoint

OTHER = "whsec_" + "b3RoZXIh" * 5
PLAN = Schedule(5.0, 86_400.0, 259_200.0)
ids = st.text("0123456789abcdef", min_size=32, max_size=32)


def record(wanted: Action, offset: int = 7) -> LogRecord:
    value = orjson.dumps(wanted.model_dump(mode="json"))
    return LogRecord(offset, 1_714_421_601_947, wanted.customer_id.encode(), value)


def letter(wanted: Action) -> Letter:
    found = of_action(3, record(wanted))
    assert found is not None
    return found


def test_receivers_verify_a_webhook_by_either_secret_while_one_replaces_another() -> None:
    sent = letter(action("Zoë ☃"))
    headers = Signer([SecretStr(OTHER), SecretStr(SECRET)]).headers(
        sent.webhook_id, time.time(), sent.body
    )
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(sent.body, headers)["data"]["customer_id"] == "Zoë ☃"
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "bm9uZSE" * 8).verify(sent.body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(sent.body + b" ", headers)


def test_the_body_holds_the_action_to_the_byte() -> None:
    sent = letter(action("c1"))
    body = orjson.loads(sent.body)
    assert body.keys() == {"type", "timestamp", "data"}
    assert body["type"] == "crm.action.decided"
    assert sent.value in sent.body
    assert Action.model_validate(body["data"]) == action("c1")


@pytest.mark.parametrize("status", ["held", "expired", "suppressed", "control"])
def test_what_is_not_to_be_delivered_makes_no_letter(status: str) -> None:
    assert of_action(0, record(action("c1", status=status))) is None


def test_what_is_no_action_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        of_action(0, LogRecord(0, 0, b"c", b'{"action_id": 1}'))


def test_a_letter_that_was_put_back_comes_again_as_it_was() -> None:
    sent = letter(action("c1"))
    message = retry(sent, "mail", 4, 1_714_421_700.5)
    again = of_retry(3, LogRecord(9, 0, *message), "mail")
    assert again == sent._replace(offset=9, attempt=4, due=1_714_421_700.5)
    assert again.body == sent.body
    assert of_retry(3, LogRecord(9, 0, *message), "other") is None


@given(ids, st.integers(1, 10**6))
def test_waits_are_a_function_of_id_and_attempt_within_their_bounds(name: str, n: int) -> None:
    wait = PLAN.wait(name, n)
    assert 5.0 <= wait <= 86_400.0
    assert wait == PLAN.wait(name, n)
    assert PLAN.wait(name, n + 1) > wait or wait > 86_400.0 * 0.8


@given(ids, st.floats(0, 1e6))
def test_what_the_receiver_asks_for_is_honoured_up_to_a_day(name: str, told: float) -> None:
    due = PLAN.due(name, 1, now=100.0, since=100.0, told=told)
    assert due is not None
    assert due >= 100.0 + min(told, 86_400.0)
    assert due <= 100.0 + 86_400.0


def test_waits_of_many_are_spread() -> None:
    waits = {round(PLAN.wait(f"{n:032x}", 9)) for n in range(200)}
    assert len(waits) > 150


def test_what_would_come_too_late_is_given_up() -> None:
    assert PLAN.due("a", 9, now=259_300.0, since=0.0, told=0.0) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "-5", "soon", "Thu, 99 Foo 1970"),
        "Mon, 01 Jan 99999999999 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
    ],
)
def test_a_retry_after_that_says_nothing_counts_as_none(text: str) -> None:
    assert retry_after(text, 0.0) == 0.0


@given(st.lists(st.booleans(), min_size=1), st.randoms())
def test_a_commit_never_passes_what_is_not_done(ours: list[bool], random: object) -> None:
    ledger, open_ = Ledger(0), [n for n, mine in enumerate(ours) if mine]
    for n, mine in enumerate(ours):
        ledger.begin(n) if mine else ledger.pass_over(n)
    left = set(open_)
    random.shuffle(open_)  # type: ignore[attr-defined]
    for each in open_:
        ledger.end(each)
        left.discard(each)
        assert ledger.position == min(left, default=len(ours))
        assert ledger.passed == sum(n > ledger.position for n in set(open_) - left)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"secrets": []}, "at least 1"),
        ({"secrets": ["sesame"]}, "whsec_"),
        ({"secrets": ["whsec_c2hvcnQ="]}, "24 to 64"),
        ({"url": "http://hook.example/", "internal": False}, "https"),
        ({"url": "ftp://hook.example/"}, "no address"),
        ({"url": "https://user:sesame@hook.example/"}, "no address"),
        ({"url": "https:///hook"}, "no address"),
        ({"url": "https://hooks..example/x"}, "no address"),
        ({"url": f"https://{'a' * 64}.example/x"}, "no address"),
        ({"name": "Mail!"}, "small letters"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(said: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why) as caught:
        Endpoint.model_validate(endpoint("mail", "https://hook.example/") | said)
    assert "sesame" not in str(caught.value)


def test_two_endpoints_of_one_name_are_refused() -> None:
    two = [endpoint("mail", "https://a.example/"), endpoint("mail", "https://b.example/")]
    with pytest.raises(ValidationError, match="name of its own"):
        Settings.model_validate({"webhooks": two})


def test_what_is_secret_about_an_endpoint_is_masked() -> None:
    given_ = endpoint("mail", "https://hook.example/s3cr3t?key=s3cr3t", channels=["email"])
    shown = masked(Settings.model_validate({"webhooks": [given_]}).webhooks)
    assert "s3cr3t" not in repr(shown)
    assert SECRET not in repr(shown)
    assert shown[0]["url"] == "https://hook.example/********"
    assert shown[0]["channels"] == ["email"]
