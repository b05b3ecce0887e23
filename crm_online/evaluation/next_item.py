"""How good next-item lists are: frozen after TRAIN, and learning on through TEST."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from crm_online.evaluation.next_item_baselines import BASELINES
from crm_online.evaluation.next_item_memory import resident_bytes
from crm_online.evaluation.next_item_metrics import TOP, ListQuality
from crm_online.models.next_item import NextItem, Query
from crm_online.scores import Interaction

__all__ = ["Evaluation", "Judged", "Progress", "evaluate_next_item"]

BATCH: Final = 500  # as a scorer asks

Progress = Callable[[str, float], None]


def _silent(word: str, share: float) -> None:
    del word, share


class _Model(Protocol):
    """Learns clicks, lists items; `replay_many` does both, a click at a time."""

    def learn_many(self, clicks: Sequence[Interaction]) -> None: ...

    def list_many(self, queries: Sequence[Query], k: int) -> list[list[str]]: ...

    def replay_many(self, clicks: Sequence[Interaction], k: int) -> list[list[str]]: ...


class _Scorer:
    """The product's own model, with lists of names only."""

    def __init__(self, model: NextItem) -> None:
        self._model = model

    def learn_many(self, clicks: Sequence[Interaction]) -> None:
        self._model.learn_many(clicks)

    def list_many(self, queries: Sequence[Query], k: int) -> list[list[str]]:
        lists = self._model.recommend_many(queries, k)
        return [[candidate.item for candidate in found] for found in lists]

    def replay_many(self, clicks: Sequence[Interaction], k: int) -> list[list[str]]:
        lists = self._model.replay_many(clicks, k)
        return [[candidate.item for candidate in found] for found in lists]


@dataclass(frozen=True, slots=True)
class Judged:
    """One model under both protocols.

    Parameters
    ----------
    frozen
        Learned TRAIN, and nothing of TEST. Times are microseconds of CPU: per query in batches of
        500, and per click of TRAIN learned.
    prequential
        Each click of TEST predicted, then learned. The time per query is the one above, that per
        interaction what learning takes beside it.
    memory_bytes
        By which the process grew while it learned TRAIN; None where the system does not tell.
    """

    frozen: dict[str, float | None]
    prequential: dict[str, float | None]
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The product's model beside the baselines, on the same queries.

    Parameters
    ----------
    queries
        Prefixes of TEST sessions, of one click or more.
    train_clicks, test_clicks, items
        What was read; items of TRAIN.
    seed
        Of the product's model.
    scorer, baselines
        The figures.
    """

    queries: int
    train_clicks: int
    test_clicks: int
    items: int
    seed: int
    scorer: Judged
    baselines: dict[str, Judged] = field(default_factory=dict)


def evaluate_next_item(
    train: Sequence[Interaction],
    test: Sequence[Interaction],
    *,
    seed: int = 7,
    progress: Progress = _silent,
    baselines: Sequence[str] = tuple(BASELINES),
) -> Evaluation:
    """Measure the product's next-item model and the baselines under both protocols.

    Every prefix of a test session is a query over all items; repeats count.

    Parameters
    ----------
    train, test
        From `read_clicks`.
    seed
        Of first weights, and of what is drawn.
    progress
        Told what is being done, and which share of it is.
    baselines
        Which of them.

    Examples
    --------
    >>> def clicks(*rows):
    ...     return [Interaction(0, 0, who, 1, item, "", 0.0) for who, row in rows for item in row]
    >>> train = clicks(("a", "xy"), ("b", "xy"), ("c", "xy"))
    >>> found = evaluate_next_item(train, clicks(("d", "xy")))
    >>> found.queries, found.scorer.frozen["hr_1"], found.baselines["popularity"].frozen["hr_1"]
    (1, 1.0, 0.0)
    """
    queries = _queries(test)
    popularity = Counter(click.item for click in train)
    model = NextItem(seed=seed).warm_up()
    return Evaluation(
        queries=sum(query is not None for query in queries),
        train_clicks=len(train),
        test_clicks=len(test),
        items=len(popularity),
        seed=seed,
        scorer=_judge("scorer", _Scorer(model), train, test, queries, popularity, progress),
        baselines={
            name: _judge(name, BASELINES[name](), train, test, queries, popularity, progress)
            for name in baselines
        },
    )


def _queries(test: Sequence[Interaction]) -> list[Query | None]:
    """Return the query that each click answers; None at the first click of a session."""
    sessions: dict[str, tuple[str, ...]] = {}
    queries: list[Query | None] = []
    for click in test:
        items = sessions.get(click.customer, ())
        queries.append(Query(click.customer, click.session, items) if items else None)
        sessions[click.customer] = (*items, click.item)[-16:]
    return queries


def _judge(
    name: str,
    model: _Model,
    train: Sequence[Interaction],
    test: Sequence[Interaction],
    queries: Sequence[Query | None],
    popularity: Counter[str],
    progress: Progress,
) -> Judged:
    gc.collect()
    before = resident_bytes()
    learning = 0.0
    for batch, share in _batches(train):
        progress(f"{name}: learning TRAIN", share)
        began = time.process_time()
        model.learn_many(batch)
        learning += time.process_time() - began
    after = resident_bytes()
    frozen, asking = _ask(name, model, test, queries, popularity, progress)
    per_query = asking / max(frozen.queries, 1)
    learned_on, both = _replay(name, model, test, queries, popularity, progress)
    beside = (both - per_query * frozen.queries) / max(len(test), 1)
    return Judged(
        _with_times(frozen, per_query, learning / max(len(train), 1)),
        _with_times(learned_on, per_query, max(beside, 0.0)),
        None if before is None or after is None else max(after - before, 0),
    )


def _ask(
    name: str,
    model: _Model,
    test: Sequence[Interaction],
    queries: Sequence[Query | None],
    popularity: Counter[str],
    progress: Progress,
) -> tuple[ListQuality, float]:
    """Put all queries in batches, learning nothing; return the quality and the seconds."""
    quality, seconds = ListQuality(popularity), 0.0
    asked = [(click.item, q) for click, q in zip(test, queries, strict=True) if q is not None]
    for batch, share in _batches(asked):
        progress(f"{name}: TEST, frozen", share)
        began = time.process_time()
        lists = model.list_many([query for _, query in batch], TOP)
        seconds += time.process_time() - began
        for (item, _), listed in zip(batch, lists, strict=True):
            quality.add(item, listed)
    return quality, seconds


def _replay(
    name: str,
    model: _Model,
    test: Sequence[Interaction],
    queries: Sequence[Query | None],
    popularity: Counter[str],
    progress: Progress,
) -> tuple[ListQuality, float]:
    """Predict, then learn each click; return the quality and the seconds."""
    quality, seconds, place = ListQuality(popularity), 0.0, 0
    for batch, share in _batches(test):
        progress(f"{name}: TEST, learning on", share)
        began = time.process_time()
        lists = model.replay_many(batch, TOP)
        seconds += time.process_time() - began
        for click, listed in zip(batch, lists, strict=True):
            if queries[place] is not None:
                quality.add(click.item, listed)
            place += 1
    return quality, seconds


def _batches(rows: Sequence[Any]) -> Iterator[tuple[Sequence[Any], float]]:
    for first in range(0, len(rows), BATCH):
        yield rows[first : first + BATCH], first / len(rows)


def _with_times(
    quality: ListQuality, per_query: float, per_interaction: float
) -> dict[str, float | None]:
    return {
        **quality.figures(),
        "microseconds_per_query": per_query * 1e6,
        "microseconds_per_interaction": per_interaction * 1e6,
    }
