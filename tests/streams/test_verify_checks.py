"""A check that cannot fail is no check: each kind of violation, planted, is found."""

from __future__ import annotations

import msgspec
import orjson
import pytest

from crm_online.log import LogRecord
from crm_online.scores import Source
from streams.verify.checks import Check, Tally, check_customers, check_equal
from streams.verify.standing import Cached, Standing, check_cache, check_lists

PACK = msgspec.msgpack.encode


def record(customer: str, offset: int, *, step: int = 1, due: float = 0.0, n: int = 0) -> LogRecord:
    value = {
        "source": {"epoch": 0, "partition": 0, "offset": offset, "step": step, "due": due},
        "segment": "lost" if n % 2 else "promising",
        "churn_probability": 0.9 if n % 2 else 0.1,
        "n": n,
    }
    return LogRecord(0, 0, customer.encode(), orjson.dumps(value))


def removal(customer: str, offset: int) -> LogRecord:
    source = msgspec.json.encode(Source(0, 0, offset))
    return LogRecord(0, 0, customer.encode(), None, [("source", source)])


def standing(*records: LogRecord) -> Standing:
    found = Standing()
    for each in records:
        found.take(each)
    return found


def cached(
    scores: dict[str, LogRecord], lists: dict[str, LogRecord] | None = None, **sets: set[str]
) -> Cached:
    held = {c: r.value or b"" for c, r in scores.items()}
    listed = {c: r.value or b"" for c, r in (lists or {}).items()}
    at_risk = sets.pop("at_risk", set())
    return Cached(held, listed, sets, at_risk)


def tally() -> Tally[bytes]:
    return Tally("scores", {b"a": PACK({"orders": 1}), b"b": PACK({"orders": 2})})


def test_records_that_are_as_expected_are_exact_and_repeats_are_counted() -> None:
    found = tally()
    for name, orders in ((b"a", 1), (b"b", 2), (b"a", 1)):
        found.see(name, PACK({"orders": orders}))
    check = found.finish()
    assert check.exact
    assert (check.found, check.repeated, check.differences) == (2, 1, [])


def test_a_record_that_is_missing_is_found() -> None:
    found = tally()
    found.see(b"a", PACK({"orders": 1}))
    check = found.finish()
    assert (check.missing, check.wrong) == (1, 0)
    assert check.differences == ["scores: b'b' is missing"]


def test_a_record_that_should_not_be_there_is_found() -> None:
    found = tally()
    found.see(b"x", PACK({}))
    assert found.finish().differences[0] == "scores: b'x' should not be there"


@pytest.mark.parametrize("first_is_right", [True, False])
def test_a_record_with_another_content_is_found_also_as_a_repeat(first_is_right: bool) -> None:
    found = tally()
    for orders in (1, 7) if first_is_right else (7, 1):
        found.see(b"a", PACK({"orders": orders}))
    found.see(b"b", PACK({"orders": 2}))
    check = found.finish()
    assert (check.missing, check.wrong) == (0, 1)
    assert "orders 7 for 1" in check.differences[0]


def test_customers_are_compared_field_by_field() -> None:
    one, other = PACK({"orders": 1, "spend": 5}), PACK({"orders": 1, "spend": 6})
    assert check_customers({"c": one}, {"c": one}).exact
    assert "spend 6 for 5" in check_customers({"c": one}, {"c": other}).differences[0]
    assert check_customers({"c": one}, {}).missing == 1
    assert check_customers({}, {"c": one}).wrong == 1


def test_values_that_differ_or_are_missing_are_found() -> None:
    assert check_equal("learned once", {"churn": b"1"}, {"churn": b"1", "more": b"2"}).exact
    assert check_equal("learned once", {"outcomes": 3}, {"outcomes": 4}).differences == [
        "learned once: outcomes differs: 4 for 3"
    ]
    assert check_equal("learned once", {"churn": b"1"}, {}).missing == 1


def test_the_highest_order_stands_wherever_it_is_written() -> None:
    late = record("c", 9)
    found = standing(record("c", 3), late, record("c", 7), record("c", 9, step=0, due=50.0))
    assert found.last["c"].values == {late.value}


def test_ticks_stand_for_nobody() -> None:
    assert not standing(LogRecord(0, 0, b"\0tick", b'{"at": 1}')).last


def test_a_cache_that_holds_the_last_is_exact() -> None:
    old, new = record("c", 3), record("c", 9, n=1)
    held = cached({"c": new}, {"c": old}, lost={"c"}, at_risk={"c"})
    check = check_cache(standing(old, new), standing(old), held, at_risk=0.5)
    assert check.exact, check.differences
    assert (check.expected, check.found) == (2, 2)


def test_either_of_two_values_of_one_order_may_stand() -> None:
    one, other = record("c", 9, n=0), record("c", 9, n=2)
    for each in (one, other):
        held = cached({"c": each}, promising={"c"})
        assert check_cache(standing(one, other), standing(), held, at_risk=0.5).exact


def test_an_older_value_in_the_cache_is_found() -> None:
    old, new = record("c", 3), record("c", 9)
    held = cached({"c": old}, promising={"c"})
    check = check_cache(standing(old, new), standing(), held, at_risk=0.5)
    assert (check.missing, check.wrong) == (0, 1)


def test_a_value_that_the_cache_lacks_is_found() -> None:
    check = check_cache(standing(record("c", 3)), standing(), cached({}), at_risk=0.5)
    assert check.missing == 1


def test_a_customer_removed_and_still_cached_is_found() -> None:
    scored = record("c", 3)
    held = cached({"c": scored}, promising={"c"})
    gone = standing(scored, removal("c", 5))
    assert check_cache(gone, standing(), held, at_risk=0.5).wrong == 1
    assert check_cache(gone, standing(), cached({}), at_risk=0.5).exact


def test_a_customer_who_is_not_in_their_sets_is_found() -> None:
    scored = record("c", 3, n=1)
    check = check_cache(standing(scored), standing(), cached({"c": scored}, lost=set()), 0.5)
    assert check.missing == 2  # neither in the segment nor among those at risk


def lists(found: Standing, *, touch: int = 9, offered: bool = True, seen_at: int = 9999) -> Check:
    return check_lists(found, {"c": touch}, {"c": offered}, {"c": seen_at}, warm_at=5)


def test_a_list_of_the_last_touch_or_later_is_exact() -> None:
    assert lists(standing(record("c", 9))).exact
    assert lists(standing(record("c", 12))).exact


def test_a_list_that_is_missing_removed_or_too_old_is_found() -> None:
    assert lists(standing()).missing == 1
    assert lists(standing(), offered=False).missing == 1
    assert lists(standing(record("c", 9), removal("c", 11))).missing == 1
    assert lists(standing(record("c", 8))).missing == 1


def test_no_list_is_missed_where_there_was_nothing_to_offer_yet() -> None:
    assert lists(standing(), offered=False, seen_at=7).exact
    assert lists(standing(), offered=False, touch=-1).exact
