"""What `crm-online show` prints of one customer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crm_online.sinks.redis import CacheReader, connect
from streams.exits import EXIT_FAILED, say
from streams.screen import screen

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["as_json", "render", "show_customer"]

RETRIES: Final = 2  # a person waits

Fields = Mapping[str, Any]


def show_customer(settings: Settings, customer: str, *, json: bool) -> int:
    """Print everything in the cache on one customer; returns 1 where there is nothing.

    Parameters
    ----------
    settings
        Of the whole program.
    customer
        The id.
    json
        Print JSON in place of tables.

    Raises
    ------
    SinkUnavailable
        Where Redis does not answer.
    ConfigurationError
        Where its address or credentials are wrong.
    """
    found = asyncio.run(_read(settings, customer))
    if found is None:
        say(
            f"the cache holds nothing on this customer under {settings.app!r}: check the id and "
            "CRM_APP, that a worker with role cache runs, and that their events were not too late: "
            f"more than {settings.allowed_lateness_days:g} days behind what was on the topic they "
            "are only counted (CRM_ALLOWED_LATENESS_DAYS)"
        )
        return EXIT_FAILED
    if json:
        sys.stdout.write(as_json(found) + "\n")
    else:
        render(found, screen())
    sys.stdout.flush()
    return 0


async def _read(settings: Settings, customer: str) -> dict[str, Any] | None:
    async with connect(settings) as client:
        return await CacheReader(settings, client, retries=RETRIES).customer(customer)


def as_json(customer: Fields) -> str:
    """Return everything in the cache on one customer as indented JSON.

    Parameters
    ----------
    customer
        From `crm_online.sinks.redis.CacheReader.customer`.

    Examples
    --------
    >>> print(as_json({"customer_id": "c-1"}))
    {
      "customer_id": "c-1"
    }
    """
    return msgspec.json.format(msgspec.json.encode(customer), indent=2).decode()


def render(customer: Fields, console: Console) -> None:
    """Print one customer so that a person can read it.

    Parameters
    ----------
    customer
        From `crm_online.sinks.redis.CacheReader.customer`.
    console
        Where to print.
    """
    console.print(Text(f"Customer {customer['customer_id']}", style="bold"))
    scores, listed = customer["scores"], customer["recommendations"]
    if scores:
        _render_scores(scores, console)
    else:
        console.print("no scores")
    if listed:
        _render_items(listed, console)
    else:
        console.print("no recommendations")
    kept = len(customer["scores_history"]), len(customer["recommendations_history"])
    console.print(Text(f"history: {kept[0]} score updates, {kept[1]} lists", style="dim"))


def _render_scores(scores: Fields, console: Console) -> None:
    currency = scores["currency"]
    table = Table.grid(padding=(0, 2))
    table.add_row("segment", Text(_segment(scores)))
    table.add_row("churn", _churn(scores))
    for reason in scores["churn_reasons"]:
        table.add_row("", Text(f"{_weight(reason['contribution'])} {reason['text']}"))
    table.add_row("expected value", _money(scores["expected_value"], currency))
    orders = f"{scores['orders']} order{'' if scores['orders'] == 1 else 's'}"
    spent = f"{_money(scores['spend'], currency)} in {orders}"
    table.add_row("so far", f"{spent}, {_money(scores['refunds'], currency)} refunded")
    table.add_row("last activity", _instant(scores["last_activity_at"]))
    table.add_row("scored", Text(f"{_instant(scores['at'])}, by {scores['cause']}"))
    table.add_row("models", Text(", ".join(sorted(scores["models"].values())) or "none yet"))
    console.print(table)


def _render_items(listed: Fields, console: Console) -> None:
    table = Table(title="Recommendations", title_justify="left", box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("why", overflow="fold")
    for rank, item in enumerate(listed["items"], start=1):
        why = Text(item["reason"]["text"])
        table.add_row(str(rank), Text(item["item_id"]), f"{item['score']:.3f}", why)
    console.print(table)
    console.print(Text(f"listed {_instant(listed['at'])}, by {listed['model'] or 'no model yet'}"))


def _segment(scores: Fields) -> str:
    name = str(scores["segment"]).replace("_", " ")
    return name if scores["cluster"] is None else f"{name} (cluster {scores['cluster']})"


def _churn(scores: Fields) -> str:
    probability = scores["churn_probability"]
    if probability is None:
        return "unknown: no outcome seen yet"
    basis = "" if scores["calibrated"] else " (observed base rate: too few outcomes for a model)"
    return f"{probability:.1%}{basis}"


def _weight(contribution: float) -> str:
    return f"{'▲' if contribution > 0 else '▼'} {contribution:+.2f}"


def _money(amount: float | None, currency: str) -> str:
    return "unknown" if amount is None else f"{amount:,.2f} {currency}"


def _instant(at: str | None) -> str:
    return "never" if at is None else at.replace("T", " ")[:19] + " UTC"
