"""How good next-item lists are: frozen after TRAIN, and learning on through TEST."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from crm_online.errors import ConfigurationError
from crm_online.evaluation.next_item_baselines import BASELINES
from crm_online.evaluation.next_item_memory import held_bytes
from crm_online.evaluation.next_item_metrics import TOP, ListQuality
from crm_online.models.next_item import NextItem, Query
from crm_online.scores import Interaction

__all__ = ["Evaluation", "Judged", "Progress", "evaluate_next_item"]

BATCH: Final = 500  # as a scorer asks

Progress = Callable[[str, float], None]
_Asked = tuple[Interaction, Query | None]  # a click, and the query that it answers


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
        500 clicks, and per click of TRAIN learned.
    prequential
        Each click of TEST predicted, then learned. The time per query is that of such batches, each
        put to the model as it stands before it; that per interaction what a click takes beyond it
        where it is predicted and learned in one.
    memory_bytes
        Of all that the model holds once it has learned TRAIN; see `held_bytes`.
    """

    frozen: dict[str, float | None]
    prequential: dict[str, float | None]
    memory_bytes: int


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

    Raises
    ------
    ConfigurationError
        Where no session of `test` has a second click.

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
    if not any(queries):
        raise ConfigurationError(
            "there is nothing to rate: no session of TEST has a second click, or the columns of "
            "session and item are others"
        )
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
    learning = _Stopwatch()
    for batch, share in _batches(train):
        progress(f"{name}: learning TRAIN", share)
        with learning:
            model.learn_many(batch)
    held = held_bytes(model)
    asked = list(zip(test, queries, strict=True))
    frozen, asking = ListQuality(popularity), _Stopwatch()
    for batch, share in _batches(asked):
        progress(f"{name}: TEST, frozen", share)
        _add(frozen, batch, _ask(model, batch, asking))
    learned_on, again, both = ListQuality(popularity), _Stopwatch(), _Stopwatch()
    for batch, share in _batches(asked):
        progress(f"{name}: TEST, learning on", share)
        _ask(model, batch, again)
        with both:
            lists = model.replay_many([click for click, _ in batch], TOP)
        _add(learned_on, batch, lists)
    return Judged(
        _figures(frozen, asking.seconds, learning.seconds, len(train)),
        _figures(learned_on, again.seconds, both.seconds - again.seconds, len(test)),
        held,
    )


class _Stopwatch:
    """Adds up the processor seconds of blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self._began


def _ask(model: _Model, batch: Sequence[_Asked], watch: _Stopwatch) -> list[list[str]]:
    """Put the queries of a batch, learning nothing; returns a list per click, maybe empty."""
    queries = [query for _, query in batch if query is not None]
    with watch:
        found = model.list_many(queries, TOP)
    lists = iter(found)
    return [[] if query is None else next(lists) for _, query in batch]


def _add(quality: ListQuality, batch: Sequence[_Asked], lists: Sequence[Sequence[str]]) -> None:
    for (click, query), listed in zip(batch, lists, strict=True):
        if query is not None:
            quality.add(click.item, listed)


def _batches(rows: Sequence[Any]) -> Iterator[tuple[Sequence[Any], float]]:
    for first in range(0, len(rows), BATCH):
        yield rows[first : first + BATCH], first / len(rows)


def _figures(
    quality: ListQuality, asking: float, learning: float, clicks: int
) -> dict[str, float | None]:
    return {
        **quality.figures(),
        "microseconds_per_query": asking / max(quality.queries, 1) * 1e6,
        "microseconds_per_interaction": max(learning, 0.0) / max(clicks, 1) * 1e6,
    }
