"""What actions do: the truth is covered however often one looks, and nothing is said too early."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
import pytest

from crm_online.learning import Learner
from crm_online.log import LogRecord
from crm_online.metrics import UpliftUpdate
from crm_online.models.snapshots import SnapshotReader
from crm_online.monitoring.uplift import Comparison, Uplift
from crm_online.scores import Settled, Source, TreatmentSettled
from crm_online.settings import Settings

AT = datetime(2024, 5, 1, tzinfo=UTC)
KEY = Settings().signing_key.get_secret_value().encode()


def fate(number: int, *, control: bool, churned: bool, spend: float = 0.0, **said: Any) -> Any:
    fields = {
        "action_id": f"a-{number}",
        "customer_id": f"c-{number}",
        "action": "win-back",
        "period": "660",
        "treatment": "control" if control else "treated",
        "at": AT,
        "due_at": AT,
        "source": Source(0, 0, number + 1),
        "churned": churned,
        "spend": spend,
        "share": 0.2,
    }
    return TreatmentSettled(**(fields | said))


def outcomes(seed: int, size: int, effect: float, share: float = 0.2) -> list[TreatmentSettled]:
    """Customers of whom a part returns, more of them where they are treated; some spend a lot."""
    random = Random(seed)
    found = []
    for number in range(size):
        control = random.random() < share
        churned = random.random() > 0.4 + (0.0 if control else effect)
        spend = 0.0 if churned else random.lognormvariate(3.0, 1.0)
        found.append(fate(number, control=control, churned=churned, spend=spend, share=share))
    return found


def always_covers(seed: int, effect: float, size: int = 1500) -> bool:
    """Say whether the interval held the truth at every moment at which it said anything."""
    comparison, mean_spend = Comparison(), 33.12  # exp(3 + 1/2)
    for outcome in outcomes(seed, size, effect):
        comparison.learn_one(outcome)
        returned, spend = comparison.differences()
        if not returned.low <= effect <= returned.high:
            return False
        if not spend.low <= effect * mean_spend <= spend.high:
            return False
    return True


@pytest.mark.parametrize("effect", [0.0, 0.15])
def test_the_truth_is_covered_at_all_times(effect: float) -> None:
    """Both intervals hold together with 95 %: 3 of 60 runs may miss, and 6 do by chance."""
    assert sum(not always_covers(seed, effect) for seed in range(60)) <= 6


@pytest.mark.long
@pytest.mark.parametrize("effect", [0.0, 0.05, 0.2])
def test_the_truth_is_covered_in_two_hundred_runs(effect: float) -> None:
    """Both intervals hold together with 95 %: 10 of 200 runs may miss, and 16 do by chance."""
    assert sum(not always_covers(seed, effect, 5000) for seed in range(200)) <= 16


def learned(given: list[TreatmentSettled]) -> Comparison:
    comparison = Comparison()
    for outcome in given:
        comparison.learn_one(outcome)
    return comparison


def test_nothing_is_said_before_there_is_enough() -> None:
    early = learned(outcomes(1, 200, 0.5))
    assert [d.verdict for d in early.differences()] == ["not yet known"] * 2
    later, *_ = learned(outcomes(1, 3000, 0.2)).differences()
    assert (later.verdict, later.measure) == ("higher", "returned")
    worse, *_ = learned(outcomes(1, 3000, -0.3)).differences()
    assert worse.verdict == "lower"
    none, *_ = learned(outcomes(2, 3000, 0.0)).differences()
    assert none.verdict == "not yet known"


def test_groups_that_are_not_as_drawn_are_found_out() -> None:
    fair = outcomes(3, 3000, 0.1)
    assert learned(fair).balanced
    kept = [o for n, o in enumerate(fair) if o.treatment == "treated" or n % 2]  # half of control
    unfair = learned(kept)
    assert not unfair.balanced
    assert unfair.expected > 1.5 * unfair.counts[1]


def test_fair_groups_are_hardly_ever_found_unfair_however_often_one_looks() -> None:
    unfair = 0
    for seed in range(100):
        comparison = Comparison()
        bad = False
        for outcome in outcomes(seed, 600, 0.0):
            comparison.learn_one(outcome)
            bad |= not comparison.balanced
        unfair += bad
    assert unfair <= 5


def test_a_customer_counts_once_in_a_period_and_without_control_nothing_does() -> None:
    uplift = Uplift()
    assert uplift.learn_one(fate(1, control=False, churned=False))
    assert not uplift.learn_one(fate(1, control=False, churned=False, first=False))
    assert not uplift.learn_one(fate(2, control=False, churned=False, share=0.0))
    assert uplift.actions["win-back"].counts == [1, 0]


def settled(number: int, treatments: dict[str, str]) -> Settled:
    return Settled(
        f"p-{number}",
        f"c-{number}",
        AT,
        AT,
        Source(0, 0, 900 + number),
        {},
        0.5,
        1.0,
        {},
        True,
        0.0,
        False,
        treatments,
    )


def test_the_learner_reports_uplift_and_goes_on_from_its_snapshot() -> None:
    given: list[Any] = outcomes(4, 700, 0.2)
    given += [settled(1, {"a": "control"}), settled(2, {"a": "treated"}), settled(3, {})]
    log = [LogRecord(n, 0, b"k", msgspec.json.encode(outcome)) for n, outcome in enumerate(given)]
    whole, first = Learner(Settings()), Learner(Settings())
    whole.process("outcomes", log)
    first.process("outcomes", log[:300])
    reader = SnapshotReader(KEY)
    records = [LogRecord(n, 0, *m) for n, m in enumerate(first.publish())]
    heir = Learner(Settings())
    heir.restore(reader.apply(records))
    assert heir.slots["uplift"].offset == 299
    heir.process("outcomes", log)
    one, other = (learner.slots["uplift"].model for learner in (whole, heir))
    assert one.actions["win-back"].differences() == other.actions["win-back"].differences()
    assert one.held_out.settled == other.held_out.settled == 1
    whole.watch.model.at = AT
    said = {m.key: m.value for m in whole.metrics()}
    update = msgspec.json.decode(said[b"learn/-/uplift.win-back"] or b"", type=UpliftUpdate)
    assert update.treated + update.control == 700
    assert update.effects[0].verdict == "higher"
    assert b"learn/-/quality.churn.control" in said


def test_a_learner_without_actions_does_not_begin_anew() -> None:
    log = [LogRecord(n, 0, b"k", msgspec.json.encode(settled(n, {}))) for n in range(20)]
    first, heir = Learner(Settings()), Learner(Settings())
    first.process("outcomes", log)
    records = [LogRecord(n, 0, *m) for n, m in enumerate(first.publish())]
    heir.restore(SnapshotReader(KEY).apply(records))
    assert heir.slots["uplift"].offset == heir.slots["quality"].offset == 19
