"""E-mails to generated customers: delivered or bounced, perhaps opened, perhaps clicked."""

from __future__ import annotations

import random

from crm_online.simulation.life import EMAILS, Customer, reseed
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import RawEvent, track, whole_milliseconds
from crm_online.simulation.season import SeasonalClock

__all__ = ["Mailing"]

_BOUNCING, _CLICKING = 0.02, 0.25
_MEAN_HOURS_TO_OPEN = 3.0
_DAY = 86_400.0


class Mailing:
    """Writes e-mails as a Poisson process per subscriber.

    Parameters
    ----------
    settings
        Of the population.
    season
        Operational time.
    rng
        Seeded anew for each e-mail.
    """

    def __init__(
        self, settings: PopulationSettings, season: SeasonalClock, rng: random.Random
    ) -> None:
        self._settings = settings
        self._season = season
        self._rng = rng

    def next_at(self, customer: Customer, number: int, after: float) -> float | None:
        """When e-mail `number` goes out, seconds since 1970; None if none does."""
        if not customer.subscriber or not self._settings.emails_per_day:
            return None
        reseed(self._rng, self._settings.seed, customer.number, EMAILS, 2 * number)
        wait = self._rng.expovariate(self._settings.emails_per_day / _DAY)
        at = whole_milliseconds(self._season.advance(after, wait))
        return at if at < self._settings.end else None

    def events(self, customer: Customer, number: int, at: float) -> list[RawEvent]:
        """All that one e-mail causes, in order."""
        rng, seed = self._rng, self._settings.seed
        reseed(rng, seed, customer.number, EMAILS, 2 * number + 1)
        steps = [(at, "Email Delivered")]
        if rng.random() < _BOUNCING:
            steps = [(at, "Email Bounced")]
        elif rng.random() < customer.open_share:
            opened = at + 20 + rng.expovariate(1 / (_MEAN_HOURS_TO_OPEN * 3_600))
            steps.append((whole_milliseconds(opened), "Email Opened"))
            if rng.random() < _CLICKING:
                clicked = opened + 5 + rng.expovariate(1 / 30)
                steps.append((whole_milliseconds(clicked), "Email Link Clicked"))
        who = f'"userId":"{customer.user_id}"'
        about = f'"email_id":"e{customer.number}-{number}"'
        message = f"{seed}-{customer.number}-e{number}"
        return [
            RawEvent(time, customer.user_id, track(event, who, f"{message}-{place}", time, about))
            for place, (time, event) in enumerate(steps)
        ]
