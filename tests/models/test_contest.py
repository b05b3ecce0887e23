"""Champion and challengers: who is promoted, who is benched, and that the log decides it."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, nan
from typing import Any

import pytest

from crm_online import Settings
from crm_online.errors import ConfigurationError
from crm_online.models.challengers import new_contests, new_entries
from crm_online.models.churn import ChurnModel
from crm_online.models.contest import MAIN, Contest, Entry
from crm_online.models.value import ValueModel
from crm_online.scores import Settled
from tests.models.pickles import spelled_out
from tests.outcomes import history

PRIOR = {"class": "river.dummy.PriorClassifier"}
BAYES = {"class": "river.naive_bayes.GaussianNB"}
SLOW = {**BAYES, "share": 0.25}
EXPLODES = {
    "class": "river.linear_model.LinearRegression",
    "optimizer": {"class": "river.optim.SGD", "lr": 50.0},
    "intercept_lr": 50.0,
    "clip_gradient": 1e300,
}


class Broken:
    """Says what it is told to; learns nothing."""

    def __init__(self, says: Any = None, *, learns: bool = True) -> None:
        self.says = says
        self.learns = learns

    def learn_one(self, x: Mapping[str, float], y: Any) -> None:
        if not self.learns:
            raise RuntimeError("cannot")

    def predict_proba_one(self, x: Mapping[str, float]) -> dict[bool, float]:
        if self.says is None:
            raise KeyError("what")
        return {True: self.says, False: 0.5}

    def predict_one(self, x: Mapping[str, float]) -> float:
        return float(self.says)


def settings(**values: Any) -> Settings:
    return Settings(min_outcomes=20, **values)


def settled(count: int, seed: int = 1, **how: Any) -> list[Settled]:
    return [each for each in history(count, seed, **how) if isinstance(each, Settled)]


def taught(contest: Contest, outcomes: list[Settled], first: int = 0) -> Contest:
    for offset, outcome in enumerate(outcomes, first):
        contest.learn_one(outcome, offset)
    return contest


def churn(main: Any, **challengers: Any) -> Contest:
    """A contest of bare estimators."""
    named = {MAIN: main, **challengers}
    return Contest("churn", {n: Entry(ChurnModel(e, ["recency"], 20), n) for n, e in named.items()})


def test_the_better_one_is_promoted_with_when_and_why() -> None:
    contest = new_contests(settings(churn_model=PRIOR, churn_challengers={"bayes": BAYES}))["churn"]
    outcomes = settled(1_500)
    taught(contest, outcomes)
    assert contest.champion == "bayes"
    (change,) = contest.changes
    assert (change.kind, change.name, change.before) == ("promoted", "bayes", MAIN)
    assert change.at == outcomes[change.offset].due_at
    assert "mean loss" in change.why
    assert contest.model.contestant == "bayes"


def test_equal_models_change_nothing() -> None:
    same = settings(churn_model=BAYES, churn_challengers={"twin": BAYES})
    contest = taught(new_contests(same)["churn"], settled(1_500))
    assert (contest.champion, contest.changes) == (MAIN, [])
    assert contest.contestants["twin"].loss == contest.contestants["twin"].champion_loss > 0.0


def test_a_worse_one_is_never_promoted() -> None:
    worse = settings(churn_model=BAYES, churn_challengers={"prior": PRIOR})
    assert taught(new_contests(worse)["churn"], settled(1_500)).champion == MAIN


def test_it_learns_as_it_would_alone() -> None:
    alone = taught(new_contests(settings())["churn"], settled(300))
    prior = settings(churn_challengers={"prior": PRIOR})
    beside = taught(new_contests(prior)["churn"], settled(300))
    assert beside.contestants["prior"].evidence.compared > 0
    assert spelled_out(alone.model) == spelled_out(beside.model)


def test_each_predicts_before_it_learns() -> None:
    seen: list[str] = []

    class Watched(Broken):
        def learn_one(self, x: Mapping[str, float], y: Any) -> None:
            seen.append("learn")

        def predict_proba_one(self, x: Mapping[str, float]) -> dict[bool, float]:
            seen.append("predict")
            return {True: 0.5}

    taught(churn(Watched(), other=Broken(0.5)), settled(200))
    assert seen[-10:] == ["predict", "learn"] * 5


def test_an_expensive_one_learns_its_share_by_hash() -> None:
    contest = new_contests(settings(churn_model=BAYES, churn_challengers={"slow": SLOW}))["churn"]
    outcomes = settled(1_000)
    taught(contest, outcomes)
    learned = contest.contestants["slow"].learned
    assert learned == sum(int(o.prediction_id[:8], 16) < 0.25 * 16**8 for o in outcomes)
    assert 200 < learned < 300
    assert contest.contestants["slow"].evidence.compared < learned


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (Broken(nan), "no probability"),
        (Broken(inf), "no probability"),
        (Broken(-0.1), "no probability"),
        (Broken(None), "KeyError"),
        (Broken(0.5, learns=False), "RuntimeError"),
    ],
)
def test_who_goes_wrong_is_benched_and_never_promoted(broken: Broken, why: str) -> None:
    contest = taught(churn(Broken(0.5), broken=broken), settled(300))
    assert contest.champion == MAIN
    (change,) = contest.changes
    assert (change.kind, change.name) == ("benched", "broken")
    assert why in change.why
    learned = contest.contestants["broken"].learned
    taught(contest, settled(50, seed=2), 300)
    assert contest.contestants["broken"].learned == learned


def test_exploding_weights_are_benched() -> None:
    exploding = settings(value_challengers={"wild": EXPLODES})
    contest = taught(new_contests(exploding)["value"], settled(400))
    assert contest.contestants["wild"].benched
    assert contest.champion == MAIN


def test_weights_are_looked_at_where_predictions_still_look_well() -> None:
    contest = churn(Broken(0.5), heavy=Broken(0.5))
    contest.contestants["heavy"].model.estimator.weights = {"recency": 1e7}
    taught(contest, settled(150))
    assert contest.contestants["heavy"].benched == "its weights exploded"


def test_a_champion_that_goes_wrong_gives_way() -> None:
    contest = taught(churn(Broken(0.5), other=Broken(0.4)), settled(100))
    contest.contestants[MAIN].model.estimator.says = nan
    taught(contest, settled(10, seed=2), 100)
    assert contest.champion == "other"
    assert [change.kind for change in contest.changes] == ["benched", "promoted"]


def test_the_last_one_that_goes_wrong_stops_the_learner() -> None:
    contest = taught(churn(Broken(0.5), other=Broken(nan)), settled(100))
    contest.contestants[MAIN].model.estimator.learns = False
    with pytest.raises(ConfigurationError, match="CRM_CHURN_MODEL"):
        taught(contest, settled(1, seed=2), 100)


def test_operators_promote_and_roll_back() -> None:
    contest = taught(churn(Broken(0.5), other=Broken(0.5), third=Broken(nan)), settled(100))
    contest.direct("promote", "other", 100)
    assert contest.champion == "other"
    contest.direct("promote", "third", 101)  # benched
    contest.direct("promote", "nobody", 102)
    assert contest.champion == "other"
    contest.direct("rollback", "", 103)
    assert contest.champion == MAIN
    kinds = [(change.kind, change.offset) for change in contest.changes[1:]]
    assert kinds == [("promoted", 100), ("refused", 101), ("refused", 102), ("rolled-back", 103)]


def test_why_an_operator_was_refused_is_said() -> None:
    contest = churn(Broken(0.5), other=Broken(0.5))
    for action, name in (("rollback", ""), ("promote", "other"), ("promote", "other")):
        contest.direct(action, name, 1)
    contest.direct("promote", "nobody", 2)
    contest.contestants["main"].benched = "its weights exploded"
    contest.direct("promote", "main", 3)
    assert [(c.kind, c.name, c.why) for c in contest.changes] == [
        ("refused", "", "nobody to roll back to"),
        ("promoted", "other", "by hand"),
        ("refused", "other", "is champion already"),
        ("refused", "nobody", "nobody like that to promote"),
        ("refused", "main", "benched: its weights exploded"),
    ]


def test_settings_let_in_and_let_go_but_never_the_champion() -> None:
    contest = new_contests(settings(churn_model=PRIOR, churn_challengers={"bayes": BAYES}))["churn"]
    taught(contest, settled(1_000))
    assert contest.champion == "bayes"
    champion = contest.contestants["bayes"]
    changed = settings(churn_model=PRIOR, churn_challengers={"late": SLOW})
    contest.reconcile(new_entries(changed, "churn"), 999)
    assert list(contest.contestants) == [MAIN, "bayes", "late"]
    assert contest.contestants["bayes"] is champion
    assert (contest.contestants["late"].since, contest.contestants[MAIN].learned) == (999, 1_000)
    changed = settings(churn_model=BAYES, churn_challengers={"late": SLOW})
    contest.reconcile(new_entries(changed, "churn"), 999)
    assert contest.contestants[MAIN].learned == 0  # described otherwise: made anew


def test_value_is_compared_by_its_absolute_error() -> None:
    says: dict[str, Any] = {MAIN: Broken(500.0), "near": Broken(15.0)}
    models = {n: Entry(ValueModel(each, ["recency"], 20), n) for n, each in says.items()}
    contest = taught(Contest("value", models), settled(600))
    assert contest.champion == "near"


@pytest.mark.parametrize(
    ("challengers", "words"),
    [
        ({"main": BAYES}, "names no challenger"),
        ({"No": BAYES}, "names no challenger"),
        ({"bayes": {**BAYES, "share": 0}}, "share of bayes"),
        ({"bayes": {**BAYES, "share": "all"}}, "share of bayes"),
    ],
)
def test_challengers_are_named_and_shared_plainly(challengers: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings(churn_challengers=challengers)


def test_one_that_cannot_be_built_is_named() -> None:
    wrong = settings(churn_challengers={"mine": {"class": "nowhere.Model"}})
    with pytest.raises(ConfigurationError, match=r"^CRM_CHURN_CHALLENGERS: mine: nowhere.Model"):
        new_contests(wrong)
