"""Pictures of next-item evaluations, PNG or SVG by the name of the file."""

from __future__ import annotations

from pathlib import Path

from crm_online.evaluation.next_item import Evaluation
from crm_online.evaluation.next_item_metrics import CUTS

__all__ = ["draw_next_item"]


def draw_next_item(evaluation: Evaluation, path: Path) -> None:
    """Draw hit rates by length of the list, and what learning on is worth.

    Parameters
    ----------
    evaluation
        What to draw.
    path
        Ends in ``.png`` or ``.svg``.
    """
    # Not pyplot: it looks for a display and keeps every figure.
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=(10, 4), layout="constrained")
    hits, ranks = figure.subplots(1, 2)
    models = {"crm-online": evaluation.scorer, **evaluation.baselines}
    for name, judged in models.items():
        (line,) = hits.plot(CUTS, _hit_rates(judged.frozen), marker=".", label=name)
        hits.plot(CUTS, _hit_rates(judged.prequential), ":", color=line.get_color())
    hits.set(xlabel="length of the list (dotted: learning on)", ylabel="hit rate", ylim=(0, None))
    hits.legend()
    places = range(len(models))
    for shift, protocol in ((-0.2, "frozen"), (0.2, "prequential")):
        heights = [getattr(judged, protocol)["mrr_20"] or 0.0 for judged in models.values()]
        ranks.bar([place + shift for place in places], heights, 0.4, label=protocol)
    ranks.set_xticks(list(places), list(models))
    ranks.set(ylabel="mean reciprocal rank, lists of 20")
    ranks.legend()
    for axis in (hits, ranks):
        axis.spines[["top", "right"]].set_visible(False)
    # The date would make every drawing of the same figures another file.
    undated = {"Date": None} if path.suffix.lower() == ".svg" else {}
    figure.savefig(path, dpi=150, metadata=undated)


def _hit_rates(figures: dict[str, float | None]) -> list[float]:
    return [figures[f"hr_{cut}"] or 0.0 for cut in CUTS]
