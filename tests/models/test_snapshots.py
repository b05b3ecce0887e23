"""Signed snapshots: read back whole, and nothing else is read at all."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import (
    base,
    cluster,
    ensemble,
    forest,
    linear_model,
    neighbors,
    preprocessing,
    rules,
    stats,
    tree,
)

from crm_online.errors import SnapshotError
from crm_online.log import LogRecord, Message
from crm_online.model_specs import CHURN_MODEL, CLUSTER_MODEL
from crm_online.models.churn import ChurnModel
from crm_online.models.clusters import ClusterModel
from crm_online.models.registry import build
from crm_online.models.segments import RfmSegments
from crm_online.models.snapshots import SnapshotReader, pack, tombstones
from crm_online.models.spend import ExpectedSpend
from crm_online.models.unpickling import load
from crm_online.models.value import ValueModel
from crm_online.signing import sign
from tests.models.shops import FEATURES, rows_of, shop

KEY = b"the key of these tests"


def log(messages: Sequence[Message]) -> list[LogRecord]:
    return [LogRecord(i, 0, m.key, m.value, m.headers) for i, m in enumerate(messages)]


def read(messages: Sequence[Message], key: bytes = KEY) -> list[tuple[str, Any]]:
    return [(found.version, found.model) for found in SnapshotReader(key).apply(log(messages))]


def resigned(message: Message, **changes: Any) -> Message:
    body = json.loads(message.value or b"")
    body.pop("signature")
    body |= changes
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    body["signature"] = sign(KEY, b"crm.model-snapshot", canonical)
    return Message(message.key, json.dumps(body).encode())


@given(
    st.recursive(st.integers() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=20),
    st.integers(1, 50),
    st.integers(0, 2**62),
)
def test_what_is_packed_is_read_back(model: Any, chunk_bytes: int, offset: int) -> None:
    messages = pack("churn", offset, model, KEY, chunk_bytes)
    assert read(messages) == [(f"churn@{offset}", model)]
    assert all(len(m.value or b"") <= chunk_bytes for m in messages[:-1])


def test_our_models_are_read_back_and_score_the_same() -> None:
    churn = ChurnModel(build(CHURN_MODEL), FEATURES, 5)
    value = ValueModel(ExpectedSpend(), FEATURES, 5)
    segments, clusters = RfmSegments(), ClusterModel(build(CLUSTER_MODEL))
    rows = rows_of([x for x, _, _ in shop(20, seed=8)])
    rfm = np.abs(rows[:, :3])
    for x, churned, spend in shop(200):
        churn.learn_one(x, churned)
        value.learn_one(x, spend)
        three = (abs(x["recency"]), abs(x["age"]), spend)
        segments.learn_one(three)
        clusters.learn_one(three)
    models = {"churn": churn, "value": value, "segments": segments, "clusters": clusters}
    messages = [m for name, model in models.items() for m in pack(name, 3, model, KEY, 1000)]
    back = {s.name: s.model for s in SnapshotReader(KEY).apply(log(messages))}
    assert set(back) == set(models)
    np.testing.assert_array_equal(
        back["churn"].freeze().predict_many(rows).probability,
        churn.freeze().predict_many(rows).probability,
    )
    np.testing.assert_array_equal(
        back["value"].freeze().predict_many(rows),
        value.freeze().predict_many(rows),
    )
    assert back["segments"].freeze().segment_many(rfm) == segments.freeze().segment_many(rfm)
    assert back["clusters"].freeze().cluster_many(rfm) == clusters.freeze().cluster_many(rfm)


def test_a_model_that_was_read_back_learns_on_as_if_nothing_had_been() -> None:
    whole = ChurnModel(build(CHURN_MODEL), FEATURES, 5)
    first, second = shop(200)[:100], shop(200)[100:]
    for x, churned, _ in first:
        whole.learn_one(x, churned)
    ((_, half),) = read(pack("churn", 1, whole, KEY))
    for x, churned, _ in second:
        whole.learn_one(x, churned)
        half.learn_one(x, churned)
    rows = rows_of([x for x, _, _ in shop(20, seed=8)])
    np.testing.assert_array_equal(
        whole.freeze().predict_many(rows).probability,
        half.freeze().predict_many(rows).probability,
    )


def sealed(packed: bytes, name: str = "churn") -> list[Message]:
    """Sign any pickle, as someone who has the key could."""
    *_, manifest = pack(name, 1, "innocent", KEY)
    hashes = [hashlib.sha256(packed).hexdigest()]
    return [Message(b"churn/1/0", packed), resigned(manifest, sha256=hashes)]


CLASSIFIERS = [
    forest.AMFClassifier(n_estimators=3, seed=1),
    forest.ARFClassifier(n_models=3, seed=1),
    tree.HoeffdingTreeClassifier(),
    tree.HoeffdingAdaptiveTreeClassifier(seed=1),
    build({"class": "river.naive_bayes.GaussianNB"}),
    neighbors.KNNClassifier(),
    build({"class": "river.linear_model.PAClassifier"}),
    build({"class": "river.linear_model.ALMAClassifier"}),
    preprocessing.MinMaxScaler() | linear_model.LogisticRegression(),
    ensemble.LeveragingBaggingClassifier(linear_model.LogisticRegression(), seed=1),
    ensemble.SRPClassifier(n_models=3, seed=1),
]
REGRESSORS = [
    forest.ARFRegressor(n_models=3, seed=1),
    tree.HoeffdingTreeRegressor(grace_period=20),
    rules.AMRules(),
    ExpectedSpend(),
]
CLUSTERERS = [cluster.KMeans(seed=1), cluster.CluStream(seed=1), cluster.DBSTREAM()]


@pytest.mark.parametrize("model", [*CLASSIFIERS, *REGRESSORS, *CLUSTERERS], ids=str)
def test_rivers_estimators_pass_the_allow_list(model: Any) -> None:
    is_classifier = isinstance(model, base.Classifier)
    model = model.clone()
    for x, churned, spend in shop(300):
        if is_classifier:
            model.learn_one(x, churned)
        elif model._supervised:
            model.learn_one(x, spend)
        else:
            model.learn_one(x)
    ((_, back),) = read(pack("any", 1, model, KEY))
    for x, _, _ in shop(5, seed=8):
        assert back.predict_one(x) == model.predict_one(x)


def test_metrics_arrays_and_plain_containers_pass_the_allow_list() -> None:
    auc, mean = build({"class": "river.metrics.ROCAUC"}), stats.Mean()
    auc.update(True, 0.7)
    mean.update(3.0)
    array = np.arange(3.0)
    things = {"auc": auc, "mean": mean, "array": array, "number": np.float64(2.0), "set": {1, 2}}
    ((_, back),) = read(pack("quality", 1, things, KEY))
    assert back["mean"].get() == 3.0
    assert back["array"].tolist() == [0.0, 1.0, 2.0]
    assert (back["number"], back["set"]) == (2.0, {1, 2})


class Command:
    """Pickles into a call."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


@pytest.mark.parametrize(
    "call",
    [
        Command(os.system, "touch owned"),
        Command(eval, "open('owned', 'w')"),
        Command(exec, "open('owned', 'w')"),
        Command(__import__, "os"),
        Command(open, "owned", "w"),
        Command(getattr, stats.Mean(), "__class__"),
        Command(getattr, stats.Mean(), "_mean"),
        Command(getattr, "text", "format"),
        Command(pickle.loads, b"N."),
        Command(np.load, "owned"),
        Command(np.fromfile, "owned"),
    ],
    ids=lambda command: f"{command.call.__name__}-{command.arguments[-1]}",
)
def test_a_pickle_that_acts_is_refused_even_if_signed(
    call: Command, tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = pytest.raises(SnapshotError, match=r"churn@1: the model holds .* not let in")
    with refused:
        read(sealed(pickle.dumps({"model": call})))
    with refused:
        pack("churn", 1, {"model": call}, KEY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "named",
    [
        "cos\nsystem\n",
        "criver.base.base\ncopy\n",
        "criver.datasets.base\nRemoteDataset\n",
        "criver.stream.iter_csv\niter_csv\n",
        "criver.checks\ncheck_estimator\n",
        "ccrm_online.models.registry\nbuild\n",
        "ccrm_online.models.registry\nimportlib\n",
        "cstreams.apps\nmain\n",
        "ccrm_onlinex.models\nx\n",
        "cbuiltins\neval\n",
    ],
)
def test_names_that_are_no_model_are_refused(named: str) -> None:
    with pytest.raises(SnapshotError):
        load(f"{named}.".encode(), "churn@1")
    packed = b"\x80\x04\x8c\x0briver.stats\x8c\x0fmean.sys.modules\x93."
    with pytest.raises(SnapshotError):
        load(packed, "churn@1")


def test_bytes_that_are_no_pickle_are_refused_with_the_next_action() -> None:
    with pytest.raises(SnapshotError, match="let the learner publish anew"):
        load(b"no pickle", "churn@1")


def test_a_wrong_key_is_refused_and_named() -> None:
    with pytest.raises(SnapshotError, match="CRM_SIGNING_KEY"):
        read(pack("churn", 1, [1.0], b"another key"))


@pytest.mark.parametrize("value", [b"{}", b"[]", b"", b"\xff", b"7", b'{"signature": 3}', b"null"])
def test_what_is_no_manifest_is_refused(value: bytes) -> None:
    with pytest.raises(SnapshotError, match="CRM_SIGNING_KEY"):
        read([Message(b"churn", value)])


def test_an_unsigned_manifest_is_refused() -> None:
    *chunks, manifest = pack("churn", 1, [1.0], KEY)
    body = json.loads(manifest.value or b"")
    del body["signature"]
    with pytest.raises(SnapshotError, match="is not signed with our key"):
        read([*chunks, Message(b"churn", json.dumps(body).encode())])


@pytest.mark.parametrize(
    "change", [{"offset": 99}, {"name": "value"}, {"sha256": ["00"]}, {"extra": 1}, {"format": 0}]
)
def test_a_changed_manifest_is_refused(change: dict[str, Any]) -> None:
    *chunks, manifest = pack("churn", 1, [1.0], KEY)
    body = json.loads(manifest.value or b"") | change
    with pytest.raises(SnapshotError, match="CRM_SIGNING_KEY"):
        read([*chunks, Message(b"churn", json.dumps(body).encode())])


def test_a_manifest_under_another_models_name_is_refused() -> None:
    *_, manifest = pack("churn", 1, [1.0], KEY)
    with pytest.raises(SnapshotError, match="CRM_SIGNING_KEY"):
        read([Message(b"value", manifest.value)])


def test_a_newer_format_is_refused_with_the_next_action() -> None:
    *chunks, manifest = pack("churn", 1, [1.0], KEY)
    with pytest.raises(
        SnapshotError, match=r"churn@1 is a snapshot of format 2.*update this worker"
    ):
        read([*chunks, resigned(manifest, format=2)])


def test_a_tampered_chunk_is_never_loaded() -> None:
    first, second, manifest = pack("churn", 1, "a" * 20, KEY, chunk_bytes=32)
    evil = Message(second.key, pickle.dumps(Command(os.system, "touch owned")))
    reader = SnapshotReader(KEY)
    assert reader.apply(log([first, evil, manifest])) == []
    # The right chunk makes it whole: a learner that came back writes it again.
    assert [found.model for found in reader.apply(log([second]))] == ["a" * 20]


def test_a_snapshot_without_all_of_its_chunks_waits() -> None:
    messages = pack("churn", 1, "a" * 200, KEY, chunk_bytes=32)
    for missing in range(len(messages)):
        reader = SnapshotReader(KEY)
        assert reader.apply(log(messages[:missing] + messages[missing + 1 :])) == []
        assert [s.version for s in reader.apply(log([messages[missing]]))] == ["churn@1"]
        assert reader.apply(log(messages)) == []


def test_the_newest_whole_snapshot_is_handed_out_once() -> None:
    reader = SnapshotReader(KEY)
    old, new = pack("churn", 5, "old", KEY), pack("churn", 9, "new", KEY)
    assert [found.model for found in reader.apply(log([*old, *new]))] == ["new"]
    assert reader.apply(log([*old, *new])) == []


def test_an_older_one_serves_while_the_newest_is_not_whole() -> None:
    reader = SnapshotReader(KEY)
    old, new = pack("churn", 5, "old", KEY), pack("churn", 9, "new", KEY)
    assert [found.version for found in reader.apply(log([*old, new[-1]]))] == ["churn@5"]
    assert [found.version for found in reader.apply(log(new[:-1]))] == ["churn@9"]


def test_a_replayed_older_manifest_is_ignored() -> None:
    reader = SnapshotReader(KEY)
    reader.apply(log(pack("churn", 9, "new", KEY)))
    assert reader.apply(log(pack("churn", 5, "old", KEY))) == []
    assert reader.apply(log(pack("churn", 9, "other", KEY))) == []


def test_models_do_not_disturb_each_other() -> None:
    reader = SnapshotReader(KEY)
    found = reader.apply(log([*pack("churn", 9, "a", KEY), *pack("value", 2, "b", KEY)]))
    assert [(s.name, s.offset, s.model) for s in found] == [("churn", 9, "a"), ("value", 2, "b")]


def test_tombstones_remove_chunks_and_manifests() -> None:
    messages = pack("churn", 5, "a" * 200, KEY, chunk_bytes=64)
    removed = tombstones("churn", 5, len(messages) - 1)
    assert [m.key for m in removed] == [m.key for m in messages[:-1]]
    assert all(m.value is None for m in removed)
    assert read([*messages[:-1], *removed, messages[-1]]) == []
    assert read([*messages, Message(b"churn", None)]) == []
    assert [found for found, _ in read([*messages, *removed, *pack("churn", 6, "b", KEY)])] == [
        "churn@6"
    ]


def test_old_chunks_are_not_kept() -> None:
    reader = SnapshotReader(KEY)
    for offset in range(20):
        reader.apply(log(pack("churn", offset, "a" * 1000, KEY, chunk_bytes=64)))
    assert len(pickle.dumps(reader)) < 2000  # their places at most


def test_foreign_keys_are_passed_over() -> None:
    foreign = [Message(b"churn/x/0", b"?"), Message(b"churn/1", b"?"), Message(b"churn/1/x", b"?")]
    assert read([*foreign, *pack("churn", 1, "a", KEY)]) == [("churn@1", "a")]


@pytest.mark.parametrize("name", ["", "a/b", "a\0b"])
def test_names_that_would_not_fit_keys_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="printable and has no slash"):
        pack(name, 1, "a", KEY)
