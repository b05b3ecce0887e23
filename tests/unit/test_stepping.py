"""The sequential half of scoring: time, timers, labels, duplicates, slices, replays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_online.customers.partition import Partition, PartitionRestore
from crm_online.customers.progress import progress_message
from crm_online.customers.state import DAY, CustomerState
from crm_online.customers.store import decode_state, encode_state
from crm_online.errors import SnapshotError
from crm_online.log import LogRecord, Message
from crm_online.scoring import Scorer
from crm_online.settings import Settings
from crm_online.slices import Slice
from crm_online.stepping import Stepper
from tests.logs import at_day, event, log_of, tick_at

KEY = Settings().signing_key.get_secret_value().encode()


def save(batch: Slice) -> None:
    """Do what a checkpoint does."""
    partition = batch.partition
    partition.store.save({c: encode_state(s) for c, s in batch.live.items()})
    for customer, as_of in batch.expired.items():
        partition.store.drop(customer)
        partition.gone[customer] = (0, as_of)


def run(partition: Partition, records: Sequence[LogRecord], **settings: Any) -> list[Slice]:
    slices = []
    for batch in Stepper(Settings(**settings)).step(partition, records):
        save(batch)
        slices.append(batch)
    return slices


def states(partition: Partition) -> dict[str, CustomerState]:
    return {c: decode_state(v) for c, v in partition.store.packed.items()}


def effects(slices: Sequence[Slice]) -> list[object]:
    """All that a run caused, in a form that compares."""
    found: list[object] = []
    for batch in slices:
        found += [("moment", m.customer, m.at, m.cause, m.source) for m in batch.moments]
        found += [("settled", m.customer, s.due, s.churned, s.spend) for m, s in batch.settled]
        found += [("interaction", i.offset, i.index, i.session, i.item) for i in batch.interactions]
    return sorted(found, key=repr)


def test_a_silent_customer_gets_predictions_on_the_grid_and_labels_when_due() -> None:
    partition = Partition(0)
    [batch] = run(partition, log_of([event("a", 0.0), event("b", 60.0)]), horizon_days=30)
    opened = [batch.moments[row].at for row, _ in batch.opened]
    assert opened == [at_day(7.0 * k) for k in range(1, 9)]
    assert [(s.due, s.churned) for _, s in batch.settled] == [
        (at_day(7.0 * k + 30), True) for k in range(1, 5)
    ]


def test_activity_at_the_due_instant_counts() -> None:
    partition = Partition(0)
    values = [event("a", 0.0), event("a", 37.0), event("b", 38.0)]
    [batch] = run(partition, log_of(values), horizon_days=30)
    first = batch.settled[0][1]
    assert (first.due, first.churned) == (at_day(37.0), False)


def test_a_label_is_never_settled_before_the_watermark_is_past_its_due_time() -> None:
    partition = Partition(0)
    run(partition, log_of([event("a", 0.0), event("b", 37.0)]), horizon_days=30)
    assert len(states(partition)["a"].predictions) == 5
    [batch] = run(partition, log_of([event("b", 37.0001)], start=2), horizon_days=30)
    assert len(batch.settled) == 1


def test_spend_within_the_horizon_is_the_value_label() -> None:
    partition = Partition(0)
    values = [
        event("a", 0.0, total=5.0),
        event("a", 10.0, total=20.5),
        event("a", 36.9, total=1.25),
        event("a", 40.0, total=100.0),
    ]
    [batch] = run(partition, log_of(values), horizon_days=30)
    assert batch.settled[0][1].spend == 2175


def test_an_order_seen_late_is_no_spend_of_a_prediction_made_after_it() -> None:
    partition = Partition(0)
    values = [
        event("a", 0.0),
        event("a", 8.0, "Product Viewed"),
        event("a", 5.0, total=50.0),
        event("a", 60.0),
    ]
    [batch] = run(partition, log_of(values), horizon_days=30)
    assert batch.settled[0][1].spend == 0
    assert states(partition)["a"].spend == 7000


def test_customers_who_sleep_are_not_predicted_and_wake_up_on_the_same_grid() -> None:
    partition = Partition(0)
    values = [event("a", 0.0), event("a", 300.0), event("b", 330.0)]
    [batch] = run(partition, log_of(values))
    opened = [round((batch.moments[row].at - at_day(0)) / DAY) for row, _ in batch.opened]
    assert opened == [*range(7, 181, 7), 301, 308, 315, 322, 329]


def test_a_cancellation_fixes_the_label_and_the_outcome_still_waits() -> None:
    partition = Partition(0)
    values = [
        event("a", 0.0),
        event("a", 10.0, "Subscription Cancelled"),
        event("a", 20.0),
        event("b", 36.0),
    ]
    [batch] = run(partition, log_of(values), horizon_days=30)
    assert not batch.settled
    [batch] = run(partition, log_of([event("b", 38.0)], start=4), horizon_days=30)
    assert [s.churned for _, s in batch.settled] == [True]


def test_a_prediction_opened_after_its_label_was_due_is_late() -> None:
    partition = Partition(0)
    [batch] = run(partition, log_of([event("a", 0.0), event("b", 90.0)]), horizon_days=30)
    assert [s.prediction.late for _, s in batch.settled] == [True] * 7 + [True]


def test_a_signed_tick_moves_time_and_an_unsigned_one_is_a_dead_letter() -> None:
    partition = Partition(0)
    forged = Message(b"\0tick", b'{"at": 1}', [("ce_type", b"crm.tick")])
    [batch] = run(partition, log_of([event("a", 0.0), tick_at(8.0, KEY), forged]))
    assert len(batch.opened) == 1
    assert partition.progress.watermark == at_day(8.0)
    assert [r.reason for _, r in batch.rejected] == ["unsigned-internal-record"]


def test_a_repeated_message_changes_nothing_but_a_counter() -> None:
    once, twice = Partition(0), Partition(0)
    first = event("a", 0.0, message_id="m-1")
    run(once, log_of([first, event("b", 0.5)]))
    run(twice, log_of([first, first, event("b", 0.5)]))
    left, right = states(once)["a"], states(twice)["a"]
    assert (once.progress.duplicates, twice.progress.duplicates) == (0, 1)
    right.as_of = left.as_of
    assert left == right


def test_an_older_order_is_not_the_last_one() -> None:
    in_order, late = Partition(0), Partition(0)
    older, newer = event("a", 1.0, total=5.0), event("a", 2.0, total=20.5)
    run(in_order, log_of([older, newer]))
    run(late, log_of([newer, older]))
    left, right = states(in_order)["a"], states(late)["a"]
    assert left.last_total == right.last_total == 2050
    assert (left.last_order, left.spend) == (right.last_order, right.spend)


def test_many_timers_at_one_record_go_in_slices_and_lose_nothing() -> None:
    values = [event(f"c-{n}", n / 1000) for n in range(50)] + [event("x", 20.0)]
    whole, sliced = Partition(0), Partition(0)
    one = run(whole, log_of(values))
    many = run(sliced, log_of(values), max_batch=7)
    assert len(one) == 1
    assert len(many) > 10
    assert all(batch.fired <= 7 for batch in many)
    assert effects(one) == effects(many)
    assert states(whole) == states(sliced)


def test_state_expires_after_its_time_to_live() -> None:
    partition = Partition(0)
    slices = run(partition, log_of([event("a", 0.0), event("b", 399.0), event("b", 401.0)]))
    assert set(states(partition)) == {"b"}
    assert "a" in slices[-1].expired


def test_overdue_timers_of_a_late_newcomer_fire_at_the_next_record_whatever_its_time() -> None:
    partition = Partition(0)
    values = [event("b", 30.0), event("a", 0.0), event("b", 20.0)]
    [batch] = run(partition, log_of(values), allowed_lateness_days=200)
    fired = [(m.customer, m.source.offset) for m in batch.moments if m.cause == "timer"]
    assert fired == [("a", 2)] * 4


def test_a_snapshot_from_further_on_in_the_log_fires_no_timer_before_its_place() -> None:
    values = [event("b", 30.0), event("c", 30.1), event("a", 0.0), event("d", 31.0)]
    ahead, heir = Partition(0), Partition(0)
    run(ahead, log_of(values[:1]), allowed_lateness_days=200)
    heir.progress = ahead.progress
    run(ahead, log_of(values[1:3], start=1), allowed_lateness_days=200)
    restore = PartitionRestore(heir)
    restore.apply(log_of([Message(c.encode(), v) for c, v in ahead.store.packed.items()]))
    heir.progress.as_of = 0
    restore.finish()
    [batch] = run(heir, log_of(values[1:], start=1), allowed_lateness_days=200)
    fired = [(m.customer, m.source.offset) for m in batch.moments if m.cause == "timer"]
    assert fired == [("a", 3)] * 4


events = st.lists(
    st.builds(
        event,
        st.sampled_from("abc"),
        st.floats(0.0, 120.0),
        st.sampled_from(["Order Completed", "Product Viewed", "Order Refunded", "Email Delivered"]),
        message_id=st.none() | st.sampled_from(["m-1", "m-2", "m-3"]),
        items=st.lists(st.sampled_from(["p-1", "p-2", "p-3"]), max_size=3),
    ),
    max_size=30,
)


@given(events, st.lists(st.integers(0, 30), max_size=4), st.integers(1, 2000))
def test_batch_boundaries_and_slices_decide_nothing(
    values: list[bytes], cuts: list[int], size: int
) -> None:
    records = log_of(values)
    whole, cut = Partition(0), Partition(0)
    expected = run(whole, records, horizon_days=30, allowed_lateness_days=200)
    edges = [0, *sorted(min(c, len(records)) for c in cuts), len(records)]
    found: list[Slice] = []
    for start, end in itertools.pairwise(edges):
        found += run(
            cut, records[start:end], horizon_days=30, allowed_lateness_days=200, max_batch=size
        )
    assert states(cut) == states(whole)
    assert effects(found) == effects(expected)
    assert cut.progress == whole.progress


@given(events, st.integers(0, 30), st.integers(0, 30), st.randoms())
def test_a_worker_that_dies_after_any_delivery_loses_nothing(
    values: list[bytes], processed: int, checkpointed: int, random: object
) -> None:
    """State topic after a crash: all snapshots of the dead worker, an older progress record."""
    records = log_of(values)
    whole = Partition(0)
    expected = run(whole, records, horizon_days=30, allowed_lateness_days=200)
    processed = min(processed, len(records))
    checkpointed = min(checkpointed, processed)
    dead = Partition(0)
    log: list[Message] = []
    before = run(dead, records[:checkpointed], horizon_days=30, allowed_lateness_days=200)
    progress = progress_message(dead.progress)
    log += [Message(c.encode(), v) for c, v in dead.store.packed.items()]
    after = run(dead, records[checkpointed:processed], horizon_days=30, allowed_lateness_days=200)
    log += [Message(c.encode(), v) for c, v in dead.store.packed.items()]
    log += [
        Message(c.encode(), None, [("as_of", f"0:{as_of:.0f}".encode())])
        for batch in before + after
        for c, as_of in batch.expired.items()
    ]
    log.append(progress)
    random.shuffle(log)  # type: ignore[attr-defined]
    heir = Partition(0)
    restore = PartitionRestore(heir)
    restore.apply(log_of(log))
    assert restore.finish() == checkpointed
    rest = run(heir, records[checkpointed:], horizon_days=30, allowed_lateness_days=200)
    assert states(heir) == states(whole)
    done = list(effects(before + after + rest))
    assert {repr(e) for e in done} == {repr(e) for e in effects(expected)}


def test_a_snapshot_of_a_newer_version_is_refused_with_what_to_do() -> None:
    restore = PartitionRestore(Partition(0))
    restore.apply(log_of([Message(b"c-1", encode_state(CustomerState(version=9)))]))
    with pytest.raises(SnapshotError, match="newer crm-online"):
        restore.finish()


def restored(messages: Sequence[Message]) -> tuple[Partition, list[Message]]:
    partition = Partition(0)
    restore = PartitionRestore(partition)
    restore.apply(log_of(messages))
    restore.finish()
    return partition, restore.overtaken()


def snapshot(as_of: float, orders: int = 0) -> Message:
    return Message(b"a", encode_state(CustomerState(as_of=as_of, orders=orders)))


def test_a_stale_snapshot_behind_the_newer_one_loses_and_is_written_over() -> None:
    newer, stale = snapshot(9.0, orders=2), snapshot(3.0, orders=1)
    partition, again = restored([newer, stale])
    assert states(partition)["a"].orders == 2
    assert again == [newer]
    assert restored([stale, newer])[1] == []
    assert restored([newer, stale, newer])[1] == []


def test_a_stale_snapshot_behind_a_removal_does_not_bring_a_customer_back() -> None:
    removal = Message(b"a", None, [("as_of", b"0:8")])
    partition, again = restored([snapshot(3.0), removal, snapshot(5.0)])
    assert not states(partition)
    assert [(m.key, m.value) for m in again] == [(b"a", None)]
    partition, again = restored([removal, snapshot(9.0)])
    assert set(states(partition)) == {"a"}
    assert again == []


def test_what_another_worker_wrote_is_corrected_only_where_it_is_older() -> None:
    scorer = Scorer(Settings())
    restore = scorer.restore(0)
    restore.apply(log_of([snapshot(9.0, orders=2)]))
    restore.finish()
    foreign = log_of([snapshot(3.0), snapshot(11.0)._replace(key=b"b"), snapshot(9.0)])
    assert scorer.correct(0, "state", foreign[:1]).snapshots == [snapshot(9.0, orders=2)]
    assert scorer.correct(0, "state", foreign[2:]).snapshots == []
    older = progress_message(Partition(0).progress)
    scorer.partitions[0].progress.as_of = 7
    corrected = scorer.correct(0, "state", log_of([older]))
    assert corrected.snapshots == [progress_message(scorer.partitions[0].progress)]


def test_only_the_newest_event_tells_how_far_the_partition_is_behind_its_clock() -> None:
    partition = Partition(0)
    records = log_of([event("a", 1999.99), event("a", 1990.0)])
    run(partition, records[:1])
    lag = partition.progress.lag
    assert lag == pytest.approx(0.01 * DAY)
    run(partition, records[1:])
    assert partition.progress.lag == lag
    ahead = log_of([event("b", 2000.002)], start=2)
    run(partition, ahead)
    assert partition.progress.lag == 0.0


def test_a_late_touch_neither_settles_a_list_nor_teaches_the_index() -> None:
    partition = Partition(0)
    values = [event("a", 1.0, "Product Viewed"), event("a", 0.5, "Product Viewed", items=["p-9"])]
    first, second = (run(partition, [record])[0] for record in log_of(values))
    assert [one.item for one in first.interactions] == ["p-1"]
    assert second.interactions == []
