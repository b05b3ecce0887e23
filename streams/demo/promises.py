"""What the demo promises, and whether it held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from streams.demo.board import Board

__all__ = ["Promise", "promises"]

BETTER_THAN_CHANCE: Final = 0.6


class Promise(NamedTuple):
    """One sentence, and whether it held."""

    sentence: str
    held: bool


def promises(board: Board, cached: Mapping[str, Any]) -> list[Promise]:
    """Check everything that the demo claims.

    Parameters
    ----------
    board
        What stood on the topics.
    cached
        Customer id to the latest score in the cache.
    """
    auc, sent = board.quality()["auc"], sum(board.messages.values())
    most = max(board.messages.values(), default=0)
    equal = sum(cached.get(customer) == score for customer, score in board.latest.items())
    return [
        Promise(
            f"every event was scored, exactly once: {len(board.scored):,} of {board.sent:,}, "
            f"{board.repeated} repeated",
            len(board.scored) == board.sent and not board.repeated,
        ),
        Promise(f"no event was refused: {board.dead_letters} dead letters", not board.dead_letters),
        Promise(
            f"the cache holds every customer's latest score: {equal:,} of {len(board.latest):,}",
            equal == len(board.latest) > 0,
        ),
        Promise(
            f"churn was predicted better than by chance: AUC {_number(auc)} over "
            f"{board.settled:,} predictions made before their labels were known",
            auc is not None and auc > BETTER_THAN_CHANCE,
        ),
        Promise(
            f"no action went out twice, and to nobody more than one a day: {sent:,} sent, "
            f"{board.actions['suppressed']:,} held back, {board.actions['control']:,} in control",
            most == 1 and not board.acted_twice,
        ),
    ]


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"
