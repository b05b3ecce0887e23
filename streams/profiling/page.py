"""A profile as one page of HTML: no script, nothing from elsewhere, plots as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from crm_online.profiling import Profile

__all__ = ["page"]

WIDTH: Final = 720
HEIGHT: Final = 140
MOST_BARS: Final = 180
NAMES: Final = 30
STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 1rem auto; }
body { padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; font-weight: 600; }
th, td { text-align: left; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #8886; }
td { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; } rect { fill: #3b7dc4; }
text { fill: currentColor; font-size: 12px; }
"""


def page(profile: Profile) -> str:
    """Write the page.

    Parameters
    ----------
    profile
        What to show. All that comes from the data is escaped.
    """
    span = f"{profile.first:%Y-%m-%d} to {profile.last:%Y-%m-%d}" if profile.first else "no time"
    findings = "".join(f"<li>{escape(each)}</li>" for each in profile.findings)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Profile</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{STYLE}</style></head><body><main>
<h1>{profile.events:,} events, {escape(span)}</h1>
<h2>What to look at</h2><ul>{findings or "<li>nothing: this looks well</li>"}</ul>
<h2>When</h2>
{_bars("Events by day", _by_day(profile.days))}
{_bars("Events by hour of the day, UTC", {str(h): n for h, n in enumerate(profile.hours)})}
{_bars("Events behind a later one, by no more than", profile.lateness.within)}
{_table("Longest silences", ["from", "to", "hours"], _gaps(profile))}
<h2>What</h2>
{_bars("Events by name", {each.name: each.events for each in profile.names[:NAMES]})}
{_table("Events", ["name", "events", "in the spec", "lack"], _names(profile))}
{_table("Fields", ["path", "events", "types", "different", "range"], _fields(profile))}
<h2>Who, and for how much</h2>
{_table("Ids", ["", "different", "events", "median of one", "most of one"], _ids(profile))}
{_table("Rows of the file", ["what", "how many"], _counts(profile.rows))}
{_table("Events cleaned, or to be cleaned", ["rule", "events"], _counts(profile.repairs))}
{_table("Orders", ["currency", "orders", "revenue"], _currencies(profile))}
</main></body></html>
"""


def _by_day(days: Mapping[str, int]) -> dict[str, int]:
    """Join days, so that no plot has more bars than can be told apart."""
    together = -(-len(days) // MOST_BARS) or 1
    names, counts = list(days), list(days.values())
    return {
        names[first]: sum(counts[first : first + together])
        for first in range(0, len(names), together)
    }


def _bars(title: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    most, width = max(counts.values()) or 1, WIDTH / len(counts)
    bars = "".join(
        f'<rect x="{n * width:.1f}" y="{HEIGHT - HEIGHT * count / most:.1f}" '
        f'width="{max(width - 1.0, 0.5):.1f}" height="{HEIGHT * count / most:.1f}">'
        f"<title>{escape(name)}: {count:,}</title></rect>"
        for n, (name, count) in enumerate(counts.items())
    )
    first, last = escape(next(iter(counts))), escape(list(counts)[-1])
    said = escape(f"{title}: {len(counts)} bars, at most {most:,}")
    return (
        f"<h3>{escape(title)}</h3>"
        f'<svg viewBox="0 -16 {WIDTH} {HEIGHT + 36}" role="img" aria-label="{said}">{bars}'
        f'<text x="0" y="-4">{most:,}</text><text x="0" y="{HEIGHT + 16}">{first}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">{last}</text></svg>'
    )


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    if not body:
        return ""
    caption = f"<caption>{escape(title)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _gaps(profile: Profile) -> Iterable[Sequence[str]]:
    for gap in profile.gaps:
        yield f"{gap.since:%Y-%m-%d %H:%M}", f"{gap.until:%Y-%m-%d %H:%M}", f"{gap.hours:,}"


def _names(profile: Profile) -> Iterable[Sequence[str]]:
    for each in profile.names:
        lacking = ", ".join(f"{path} {share:.0%}" for path, share in each.missing.items())
        yield each.name, f"{each.events:,}", "yes" if each.known else "no", lacking


def _fields(profile: Profile) -> Iterable[Sequence[str]]:
    for each in profile.fields:
        reach = "" if each.low is None else f"{each.low:g} to {each.high:g}"
        types = ", ".join(f"{kind} {count:,}" for kind, count in each.types.items())
        yield each.path, f"{each.events:,}", types, f"{each.distinct:,}", reach


def _ids(profile: Profile) -> Iterable[Sequence[str]]:
    for name, many in {"customers": profile.customers, "items": profile.items}.items():
        yield name, f"{many.count:,}", f"{many.events:,}", f"{many.median:g}", f"{many.most:,}"


def _counts(counts: Mapping[str, int]) -> Iterable[Sequence[str]]:
    for what, count in counts.items():
        yield what, f"{count:,}"


def _currencies(profile: Profile) -> Iterable[Sequence[str]]:
    for each in profile.orders.currencies:
        yield each.currency or "(none)", f"{each.orders:,}", f"{each.revenue:,.2f}"
