"""How the demo looks: panels on a terminal, plain lines elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from streams.demo.board import Board

__all__ = ["line", "panels"]

BAR = 24


def panels(board: Board, rate: float, lag: int) -> RenderableType:
    """Draw everything, for `rich.live.Live`.

    Parameters
    ----------
    board
        What was seen so far.
    rate
        Events scored per second of late.
    lag
        Events sent and not yet scored.
    """
    return Group(
        Panel(_flow(board, rate, lag), title="crm-online", title_align="left"),
        Columns([_segments(board), _quality(board)], equal=True, expand=True),
        _recommended(board),
    )


def line(board: Board, rate: float, lag: int) -> str:
    """Say the same in one line."""
    quality = board.quality()
    return (
        f"{_day(board)}: {len(board.scored):,} events scored, {rate:,.0f}/s, lag {lag:,}, "
        f"{len(board.latest):,} customers, {board.open:,} predictions open, "
        f"{board.settled:,} settled, churn AUC {_number(quality['auc'])} "
        f"(against the truth {_number(quality['truth_auc'])}), "
        f"{sum(board.messages.values()):,} actions"
    )


def _day(board: Board) -> str:
    return datetime.fromtimestamp(board.at, UTC).strftime("%Y-%m-%d")


def _flow(board: Board, rate: float, lag: int) -> Table:
    grid = Table.grid(expand=True)
    for _ in range(4):
        grid.add_column(justify="center")
    grid.add_row(
        f"[bold]{rate:,.0f}[/] events/s",
        f"lag [bold]{lag:,}[/]",
        f"[bold]{len(board.scored):,}[/] events scored, {board.rescored:,} rescored in silence",
        f"event time [bold]{_day(board)}[/]",
    )
    return grid


def _segments(board: Board) -> Panel:
    table = Table.grid(padding=(0, 1))
    found = board.segments()
    most = max((count for _, count in found), default=1)
    for name, count in found:
        bar = Text("█" * max(1, round(BAR * count / most)), style="cyan")
        table.add_row(name.replace("_", " "), f"{count:,}", bar)
    return Panel(table, title=f"{len(board.latest):,} customers by segment", title_align="left")


def _quality(board: Board) -> Panel:
    quality = board.quality()
    table = Table.grid(padding=(0, 2))
    table.add_row("predictions open", f"[bold]{board.open:,}")
    table.add_row("predictions settled", f"[bold]{board.settled:,}")
    table.add_row("churn AUC, settled labels", f"[bold]{_number(quality['auc'])}")
    table.add_row("churn AUC, who had truly left", f"[bold]{_number(quality['truth_auc'])}")
    table.add_row("churn log loss", f"[bold]{_number(quality['log_loss'])}")
    share = board.hits / board.touches if board.touches else None
    table.add_row(f"next item was in the list ({board.touches:,})", f"[bold]{_number(share)}")
    sent = sum(board.messages.values())
    table.add_row(
        "actions sent, held back, in control",
        f"[bold]{sent:,}, {board.actions['suppressed']:,}, {board.actions['control']:,}",
    )
    table.add_row("dead letters", f"[bold]{board.dead_letters}")
    return Panel(table, title="predicted before, compared after", title_align="left")


def _recommended(board: Board) -> Panel:
    newest = board.recommended
    table = Table.grid(padding=(0, 2))
    for item in (newest["items"] if newest else [])[:5]:
        table.add_row(f"[bold]{item['item_id']}", f"{item['score']:.2f}", item["reason"]["text"])
    who = newest["customer_id"] if newest else "nobody yet"
    return Panel(table, title=f"last recommendations, for {who}", title_align="left")


def _number(value: float | None) -> str:
    return "not yet known" if value is None else f"{value:.3f}"
