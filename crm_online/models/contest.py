"""Champion and challengers: several estimators learn the same outcomes, the best one predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from crm_online.errors import ConfigurationError
from crm_online.models.contestants import TASKS, Contestant
from crm_online.models.frozen import require_finite
from crm_online.scores import Settled

__all__ = ["MAIN", "Change", "Contest", "Entry"]

MAIN: Final = "main"
ERROR_RATE: Final = 0.01
REMEMBERED: Final = 50
MOVES: Final = ("promoted", "rolled-back")
_HASHED: Final = 8  # hexadecimal digits of a prediction's id
_WHOLE: Final = 16**_HASHED


class Entry(NamedTuple):
    """What settings say of one contestant.

    Parameters
    ----------
    model
        Untaught: the learner's half of a model.
    spec
        What its estimator is built from, as text.
    share
        The share of predictions that it learns from.
    """

    model: Any
    spec: str
    share: float = 1.0


class Change(NamedTuple):
    """A change of champion, or why there was none.

    Parameters
    ----------
    offset
        Of the record on ``crm.outcomes`` that caused it.
    at
        Event time by then; ``None`` before the first outcome.
    kind
        ``"promoted"``, ``"rolled-back"``, ``"benched"`` or ``"refused"``.
    name
        Of whom it is about.
    before
        The champion until then.
    why
        In words.
    """

    offset: int
    at: datetime | None
    kind: str
    name: str
    before: str
    why: str


class Contest:
    """All contestants of one model, who is champion, and how that came about.

    Its state is a function of the outcomes in log order, and of the settings that it was built
    from. Each contestant predicts an outcome just before it learns from it.

    Parameters
    ----------
    task
        ``"churn"`` or ``"value"``.
    entries
        Contestants by name; the first is the champion to begin with.
    """

    def __init__(self, task: str, entries: Mapping[str, Entry]) -> None:
        self.task = task
        self.at: datetime | None = None
        self.outcomes = 0
        self.label_sum = 0.0
        self.highest = 0.0
        self.changes: list[Change] = []
        self.contestants: dict[str, Contestant] = {}
        self.champion = next(iter(entries))
        self.reconcile(entries, -1)

    @property
    def model(self) -> Any:
        """The champion: the model that scorers are given."""
        return self.contestants[self.champion].model

    @property
    def alone(self) -> bool:
        """Whether there is nobody to compare the champion with."""
        return len(self.contestants) == 1

    @property
    def former(self) -> str | None:
        """Who was champion before the last change and can be again; ``None``: nobody."""
        for change in reversed(self.changes):
            if change.kind not in MOVES:
                continue
            found = self.contestants.get(change.before)
            if found is not None and not found.benched and change.before != self.champion:
                return change.before
        return None

    def take(self, model: Any, offset: int) -> None:
        """Go on with a champion out of a snapshot that knows of no contest."""
        name = getattr(model, "contestant", MAIN)
        held = self.contestants.get(name)
        spec, share = ("", 1.0) if held is None else (held.spec, held.share)
        if self.alone:
            self.contestants.clear()
        rate = ERROR_RATE / max(len(self.contestants) - 1, 1)
        self.contestants[name] = Contestant(name, model, spec, share, -1, rate)
        self.champion = name
        for each in self.contestants.values():
            if each.name != name:
                each.since = offset  # they have seen nothing of what it learned

    def reconcile(self, entries: Mapping[str, Entry], offset: int) -> None:
        """Let in whom the settings name anew, or otherwise than before; let go who is not named.

        The champion stays as it is, named or not.

        Parameters
        ----------
        entries
            Contestants by name.
        offset
            Of the last outcome so far.
        """
        for name in set(self.contestants) - set(entries) - {self.champion}:
            del self.contestants[name]
        rate = ERROR_RATE / max(len(entries) - 1, 1)
        for name, entry in entries.items():
            held = self.contestants.get(name)
            if held is None or (held.spec != entry.spec and name != self.champion):
                self._enter(name, entry, offset, rate)
            else:
                held.share = entry.share
        for held in self.contestants.values():
            held.evidence.error_rate = rate

    def _enter(self, name: str, entry: Entry, offset: int, rate: float) -> None:
        if name != MAIN:
            entry.model.contestant = name
        self.contestants[name] = Contestant(
            name, entry.model, entry.spec, entry.share, offset, rate
        )

    def learn_one(self, outcome: Settled, offset: int) -> None:
        """Teach every contestant one settled prediction, and compare them on it.

        Raises
        ------
        ValueError
            Where a feature or the label is none to learn from.
        """
        features, label = outcome.features, TASKS[self.task].label(outcome)
        if self.alone:  # its snapshot is that of the model: nothing else may be remembered
            self.model.learn_one(features, label)
            return
        require_finite(features)
        require_finite({"label": label})
        self.at = outcome.due_at
        place = int(outcome.prediction_id[:_HASHED], 16) / _WHOLE
        entrants = [c for c in self._healthy() if place < c.share]
        self._compete(entrants, features, label, offset)
        self.outcomes += 1
        self.label_sum += label
        self.highest = max(self.highest, label)

    def _healthy(self) -> list[Contestant]:
        return [each for each in self.contestants.values() if not each.benched]

    def _compete(
        self, entrants: Sequence[Contestant], features: Mapping[str, float], label: Any, offset: int
    ) -> None:
        task = TASKS[self.task]
        answers = {each.name: each.predict(task, features, self.highest) for each in entrants}
        for each in entrants:
            if not each.benched:
                each.learn(features, label)
        losses = {
            each.name: task.loss(label, answer)
            for each in entrants
            if (answer := answers[each.name]) is not None and not each.benched
        }
        for each in entrants:
            if each.benched:
                self._note(offset, "benched", each.name, each.benched)
        if self.contestants[self.champion].benched:
            self._replace(offset)
        elif self.champion in losses:
            self._compare(losses, offset)

    def _compare(self, losses: Mapping[str, float], offset: int) -> None:
        mean = self.label_sum / self.outcomes if self.outcomes else 0.0
        scaled, ours = TASKS[self.task].scaled, losses[self.champion]
        convincing = [
            self.contestants[name]
            for name, loss in losses.items()
            if name != self.champion
            and self.contestants[name].compare(loss, ours, scaled(ours - loss, mean))
        ]
        if convincing:
            best = max(convincing, key=lambda each: each.evidence.log_capital)
            if best.check():
                self._promote(best.name, offset, "promoted", _why(best))
            else:
                self._note(offset, "benched", best.name, best.benched)

    def _replace(self, offset: int) -> None:
        """Give way to the former champion, or to whoever has done best."""
        healthy, gone = self._healthy(), self.contestants[self.champion]
        if not healthy:
            raise ConfigurationError(
                f"the {self.task} model went wrong ({gone.name}: {gone.benched}) and nobody can "
                f"take its place: configure another CRM_{self.task.upper()}_MODEL and run "
                "`crm-online reset`"
            )
        best = min(healthy, key=lambda each: each.loss - each.champion_loss)
        name = self.former or best.name
        self._promote(name, offset, "promoted", f"{gone.name} was benched: {gone.benched}")

    def direct(self, action: str, name: str, offset: int) -> None:
        """Follow an operator: ``"promote"`` a contestant, or ``"rollback"`` to the former one."""
        if self.alone:
            return
        back = action == "rollback"
        wanted = (self.former or "") if back else name
        if refusal := self._refusal(wanted, back=back):
            self._note(offset, "refused", wanted, refusal)
        else:
            self._promote(wanted, offset, "rolled-back" if back else "promoted", "by hand")

    def _refusal(self, wanted: str, *, back: bool) -> str:
        """Say why a contestant cannot become champion by hand; nothing where it can."""
        if wanted == self.champion:
            return "is champion already"
        held = self.contestants.get(wanted)
        if held is None:
            return "nobody to roll back to" if back else "nobody like that to promote"
        return f"benched: {held.benched}" if held.benched else ""

    def _promote(self, name: str, offset: int, kind: str, why: str) -> None:
        self._note(offset, kind, name, why)
        self.champion = name
        for each in self.contestants.values():
            each.begin_anew(each.evidence.error_rate)

    def _note(self, offset: int, kind: str, name: str, why: str) -> None:
        change = Change(offset, self.at, kind, name, self.champion, why)
        self.changes = [*self.changes, change][-REMEMBERED:]


def _why(winner: Contestant) -> str:
    compared = winner.evidence.compared
    return (
        f"mean loss {winner.loss / compared:.4f} against {winner.champion_loss / compared:.4f} "
        f"on {compared} outcomes; capital {winner.evidence.log_capital:.2f}, "
        f"needed {winner.evidence.log_needed:.2f} (natural logarithms)"
    )
