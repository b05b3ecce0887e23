"""What the demo has seen so far, read from the output topics like any user would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from crm_online.actions.records import DELIVERED
from crm_online.log import Record
from crm_online.monitoring.figures import auc, log_loss
from crm_online.simulation.population import Population

__all__ = ["Board"]


class Board:
    """Follows scores, recommendations, outcomes, actions and dead letters.

    Parameters
    ----------
    population
        Whose events these are; knows the truth.
    """

    def __init__(self, population: Population) -> None:
        self._population = population
        self.sent = 0
        self.scored: set[tuple[int, int]] = set()
        self.repeated = 0
        self.rescored = 0
        self.at = population.settings.start
        self.latest: dict[str, dict[str, Any]] = {}
        self.recommended: dict[str, Any] | None = None
        self.opened = 0
        self.dead_letters = 0
        self.actions: Counter[str] = Counter()
        self.messages: Counter[tuple[str, str]] = Counter()  # by customer and day
        self._acted: set[str] = set()
        self.acted_twice = 0
        self.hits = 0
        self.touches = 0
        self._settled: list[tuple[float, bool, bool]] = []
        self.settled = 0

    def take_scores(self, records: Sequence[Record]) -> None:
        """Count scores by the event they answer, and keep each customer's latest."""
        for record in records:
            if record.value is None or record.key is None or record.key[:1] == b"\0":
                continue
            score = orjson.loads(record.value)
            self.latest[score["customer_id"]] = score
            if score["cause"] != "event":
                self.rescored += 1
                continue
            place = (score["source"]["partition"], score["source"]["offset"])
            self.repeated += place in self.scored
            self.scored.add(place)

    def take_recommendations(self, records: Sequence[Record]) -> None:
        """Keep the last list."""
        for record in records[-1:]:
            if record.value is not None:
                self.recommended = orjson.loads(record.value)

    def take_outcomes(self, records: Sequence[Record]) -> None:
        """Put the truth beside every settled prediction."""
        for record in records:
            outcome = orjson.loads(record.value or b"{}")
            kind = outcome.get("kind")
            self.opened += kind == "opened"
            if kind == "next_item":
                self.touches += 1
                self.hits += outcome["rank"] is not None
            elif kind == "settled":
                self._settle(outcome)

    def _settle(self, outcome: dict[str, Any]) -> None:
        self.settled += 1
        chance = outcome["churn_probability"]
        if outcome["late"] or chance is None:
            return
        opened = float(np.datetime64(outcome["opened_at"][:-1], "ms").astype(np.int64)) / 1000.0
        gone = not self._population.alive_at(outcome["customer_id"], opened)
        self._settled.append((chance, outcome["churned"], gone))

    def take_actions(self, records: Sequence[Record]) -> None:
        """Count decisions by what became of them, and messages by customer and day."""
        for record in records:
            action = orjson.loads(record.value or b"{}")
            self.actions[action["status"]] += 1
            if action["status"] in DELIVERED:
                self.messages[action["customer_id"], action["at"][:10]] += 1
                self.acted_twice += action["action_id"] in self._acted
                self._acted.add(action["action_id"])

    def take_dead_letters(self, records: Sequence[Record]) -> None:
        """Count what was refused."""
        self.dead_letters += len(records)

    @property
    def open(self) -> int:
        """Predictions that still await their labels."""
        return self.opened - self.settled

    def segments(self) -> list[tuple[str, int]]:
        """Count customers per segment, most first."""
        return Counter(score["segment"] for score in self.latest.values()).most_common()

    def quality(self) -> dict[str, float | None]:
        """Compare settled predictions with their labels, and with who had truly left."""
        if not self._settled:
            return {"auc": None, "log_loss": None, "truth_auc": None}
        chance, churned, gone = zip(*self._settled, strict=True)
        return {
            "auc": auc(churned, chance),
            "log_loss": log_loss(churned, chance),
            "truth_auc": auc(gone, chance),
        }
