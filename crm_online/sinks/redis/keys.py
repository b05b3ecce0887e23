"""The one place that knows the names of keys."""

from __future__ import annotations

from typing import Final

__all__ = ["Keys"]

_ESCAPES: Final = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})


class Keys:
    """Names of everything in the cache; nothing else spells a key.

    A customer's keys carry the id as hash tag, so they share a cluster slot. Braces in an id
    are percent-encoded, or they would end the tag early.

    Parameters
    ----------
    app
        Prefix, the setting `app`.

    Examples
    --------
    >>> Keys("crm").scores("c-1"), Keys("crm").scores("{x}")
    ('crm:{c-1}:scores', 'crm:{%7Bx%7D}:scores')
    """

    def __init__(self, app: str) -> None:
        self._app = app
        self.at_risk = f"{app}:at-risk"
        self.segments = f"{app}:segments"

    def scores(self, customer: str) -> str:
        """Key of the latest `ScoreUpdate`, JSON."""
        return f"{self._app}:{{{customer.translate(_ESCAPES)}}}:scores"

    def recommendations(self, customer: str) -> str:
        """Key of the latest `Recommendations`, JSON."""
        return f"{self._app}:{{{customer.translate(_ESCAPES)}}}:recommendations"

    def actions(self, customer: str) -> str:
        """Key of the newest `Action` records, JSON, newest first."""
        return f"{self._app}:{{{customer.translate(_ESCAPES)}}}:actions"

    def of_customer(self, customer: str) -> tuple[str, str, str, str, str, str]:
        """All keys of one customer: the latest two, their histories, the mark, and actions."""
        scores, listed = self.scores(customer), self.recommendations(customer)
        mark = f"{self._app}:{{{customer.translate(_ESCAPES)}}}:mark"
        histories = f"{scores}:history", f"{listed}:history"
        return scores, listed, *histories, mark, self.actions(customer)

    def segment(self, name: str) -> str:
        """Key of the set of customers in one segment."""
        return f"{self._app}:segment:{name}"

    def segment_name(self, key: str) -> str:
        """Name of the segment whose set has this key; the way back from `segment`."""
        return key.removeprefix(self.segment(""))
