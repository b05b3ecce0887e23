"""What `crm-online evaluate segments` does."""

from __future__ import annotations

import sys
from typing import Any

from crm_online.evaluation.plots import draw_segments
from crm_online.evaluation.segments import evaluate_segments
from streams.evaluating.replaying import replay
from streams.evaluating.request import Request
from streams.evaluating.tables import print_json, print_table, shown
from streams.exits import counted

__all__ = ["rate_segments"]


def rate_segments(request: Request, *, json: bool) -> int:
    """Replay, look and report; returns the exit code. Parameters are those of `rate_churn`."""
    replayed = replay(request)
    if replayed.empty:
        return replayed.code
    found = evaluate_segments(replayed.gathering, request.sweep_seconds)
    report = {**replayed.about(request), **found.report}
    if json:
        print_json(report)
    else:
        _print(report, request.settings.currency)
    if request.plot is not None:  # last: a picture that fails costs no figure
        draw_segments(found, request.plot)
    return replayed.code


def _print(report: dict[str, Any], currency: str) -> None:
    sys.stdout.write(
        f"{counted(report['customers'], 'customer')}, "
        f"each looked at every {report['sweep_days']:g} days; "
        f"{_percent(report['stability'])} kept their segment from one look to the next "
        f"(between {_percent(report['stability_lowest'])} and "
        f"{_percent(report['stability_highest'])}).\n\n"
    )
    days = f"{report['horizon_days']:g} days"
    heads = ["", "now", "share", "kept", "settled", f"churn, {days}", f"{currency}, {days}"]
    print_table(heads, [_row(name, about) for name, about in report["segments"].items()])
    sys.stdout.write("\nFrom one look to the next, of a hundred in the segment on the left:\n\n")
    _print_flow(report["flow"])
    clusters = report["clusters"]
    sizes = ", ".join(f"{size:,}" for size in clusters["sizes"].values())
    sys.stdout.write(
        f"\nCustomers in clusters: {sizes}; silhouette {shown(clusters['silhouette'], 3)}; of the "
        f"named segments {shown(clusters['silhouette_of_segments'], 3)}.\n"
    )


def _row(name: str, about: dict[str, Any]) -> list[str]:
    return [
        name,
        f"{about['customers']:,}",
        _percent(about["share"]),
        _percent(about["stability"]),
        f"{about['settled']:,}",
        _percent(about["churn"]),
        shown(about["spend"], 2),
    ]


def _print_flow(flow: dict[str, dict[str, int]]) -> None:
    """Print a column per segment, under its initials, which are unique."""
    heads = ["", *("".join(word[0] for word in name.split("_")) for name in flow)]
    rows = []
    for name, goes in flow.items():
        left = sum(goes.values())
        cells = [f"{100 * count / left:.0f}" if count else "" for count in goes.values()]
        rows.append([name, *cells])
    print_table(heads, rows)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
