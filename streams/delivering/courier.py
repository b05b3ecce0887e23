"""Takes letters to one endpoint: three quick tries, then back onto a topic, so that none blocks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from streams.delivering.letters import BODY_BYTES, Letter, retry
from streams.delivering.schedule import QUICK_WAITS, Schedule

if TYPE_CHECKING:
    from crm_online.endpoints import Endpoint
    from crm_online.settings import Settings
    from streams.delivering.posting import Answer, Poster
    from streams.delivering.standing import Standing
    from streams.producer import OutputProducer

__all__ = ["RETRY", "Courier", "schedule"]

RETRY: Final = "actions.retry"
HOUR_SECONDS: Final = 3600.0
# A receiver that asks for more gets the one message later, and others in between.
LONGEST_HOLD_SECONDS: Final = 3600.0

_log = structlog.get_logger(__name__)


class Courier:
    """Delivers letters, puts them back, or drops them with a reason; one of these, always.

    Parameters
    ----------
    endpoint
        Where to.
    poster
        Of that endpoint.
    standing
        Of that endpoint.
    producer
        Writes what is to be tried again.
    settings
        Of the whole program.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        poster: Poster,
        standing: Standing,
        producer: OutputProducer,
        settings: Settings,
    ) -> None:
        self.results: Counter[str] = Counter()
        self._endpoint = endpoint
        self._poster = poster
        self._standing = standing
        self._producer = producer
        self._topic = settings.topic(RETRY)
        self._max_late_seconds = settings.max_action_age_seconds
        self._schedule = schedule(settings)
        self._free = asyncio.Semaphore(endpoint.concurrency)
        self._held_until = 0.0

    async def take(self, letter: Letter) -> bool:
        """See to one letter; returns whether that is done, durably."""
        body = letter.body
        refused = self._refuse(letter, body)
        if refused is not None:
            return self._drop(letter, *refused)
        answer = await self._try(letter, body)
        if answer is None:
            return False
        if answer.delivered:
            self.results["delivered"] += 1
            await self._standing.succeeded()
            return True
        if answer.gone:
            await self._standing.gone()
            return False
        await self._standing.failed(answer.why)
        return await self._put_back(letter, answer)

    def _refuse(self, letter: Letter, body: bytes) -> tuple[str, str] | None:
        """Return why a letter is not to be tried, and what that counts as."""
        if time.time() - letter.since > self._schedule.give_up_seconds:
            return "too old", "dropped"
        if not letter.attempt and letter.late_seconds > self._max_late_seconds:
            return "decided too late", "stale"
        if len(body) >= BODY_BYTES:
            return f"{len(body)} bytes, and 20 KB is the most", "dropped"
        return None

    async def _try(self, letter: Letter, body: bytes) -> Answer | None:
        """Try thrice, or once what was put back; ``None`` where the endpoint is disabled."""
        for wait in () if letter.attempt else QUICK_WAITS:
            answer = await self._post(letter, body)
            if answer is None or answer.delivered or answer.gone or not answer.quick:
                return answer
            await asyncio.sleep(wait)
        return await self._post(letter, body)

    async def _post(self, letter: Letter, body: bytes) -> Answer | None:
        async with self._free:
            await asyncio.sleep(max(0.0, self._held_until - time.time()))
            if self._standing.disabled:
                return None
            answer = await self._poster.post(letter.webhook_id, body)
        self.results["attempts"] += 1
        if answer.wait_seconds:
            hold = min(answer.wait_seconds, LONGEST_HOLD_SECONDS)
            self._held_until = max(self._held_until, time.time() + hold)
        return answer

    async def _put_back(self, letter: Letter, answer: Answer) -> bool:
        attempt = letter.attempt + 1
        due = self._schedule.due(
            letter.webhook_id, attempt, time.time(), letter.since, answer.wait_seconds
        )
        if due is None:
            return self._drop(letter, f"given up: {answer.why}")
        message = retry(letter, self._endpoint.name, attempt, due)
        await self._producer.deliver(self._topic, letter.partition, [message])
        self.results["put back"] += 1
        _log.warning(
            "a webhook was not delivered and is tried again",
            endpoint=self._endpoint.name,
            webhook_id=letter.webhook_id,
            why=answer.why,
            attempt=attempt,
            again_in_seconds=round(due - time.time(), 1),
        )
        return True

    def _drop(self, letter: Letter, why: str, result: str = "dropped") -> bool:
        self.results[result] += 1
        _log.error(
            "a webhook is not delivered",
            endpoint=self._endpoint.name,
            webhook_id=letter.webhook_id,
            action=letter.action.action,
            why=why,
        )
        return True


def schedule(settings: Settings) -> Schedule:
    """Return the schedule that the settings ask for."""
    return Schedule(
        settings.webhook_first_retry_seconds,
        settings.webhook_last_retry_seconds,
        settings.webhook_give_up_hours * HOUR_SECONDS,
    )
