"""A receiver of webhooks on loopback, and actions to send to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson
from aiohttp import web
from standardwebhooks import Webhook

from crm_online.contract.actions import Action
from crm_online.log import Message
from crm_online.settings import Settings
from streams.feeding import partition_of
from streams.producer import OutputProducer

__all__ = ["SECRET", "Got", "Receiver", "action", "endpoint", "receiving", "write_actions"]

SECRET = "whsec_" + "c2VjcmV0" * 4
AT = "2024-04-29T20:13:21.947000Z"


class Got(NamedTuple):
    """One verified request."""

    webhook_id: str
    customer: str
    number: int
    body: dict[str, Any]
    headers: dict[str, str]


class Receiver:
    """Verifies each webhook, and answers as it is told; 204 by default."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: list[int] = []  # statuses; 0 where it hung
        self.port = 0
        self.answer: Callable[[Got], web.Response | None] = lambda _: web.Response(status=204)
        self._hanging = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [each.webhook_id for each in self.got]

    async def take(self, request: web.Request) -> web.Response:
        """Answer one request; where the answer is ``None``, hang."""
        body = await request.read()
        found = Webhook(SECRET).verify(body, dict(request.headers))
        customer, number = found["data"]["customer_id"], found["data"]["template"].get("n", "0")
        headers = {name.lower(): value for name, value in request.headers.items()}
        got = Got(headers["webhook-id"], customer, int(number), found, headers)
        self.got.append(got)
        answer = self.answer(got)
        self.answers.append(0 if answer is None else answer.status)
        if answer is None:
            await self._hanging.wait()
            return web.Response(status=500)
        return answer

    def let_go(self) -> None:
        """Answer what hangs."""
        self._hanging.set()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Listen on a free port of loopback."""
    receiver = Receiver()
    app = web.Application()
    app.add_routes([web.post("/hook", receiver.take)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        receiver.let_go()
        await runner.cleanup()


def endpoint(name: str, url: str, **more: Any) -> dict[str, Any]:
    """Write an endpoint on loopback, as settings have it."""
    return {"name": name, "url": url, "secrets": [SECRET], "internal": True} | more


def action(customer: str, number: int = 0, **said: Any) -> Action:
    """Make an action; its number within the customer travels in the template."""
    fields: dict[str, Any] = {
        "action_id": f"{customer}-{number}".encode().hex().rjust(32, "0")[-32:],
        "customer_id": customer,
        "status": "sent",
        "action": "win_back",
        "rule": "win-back",
        "channel": "email",
        "category": "marketing",
        "at": AT,
        "why": None,
        "held_until": None,
        "triggers": [],
        "treatment": "treated",
        "period": "660",
        "template": {"n": str(number)},
        "items": [],
        "segment": "at_risk",
        "churn_probability": 0.7,
        "calibrated": True,
        "reasons": [],
        "expected_value": 12.5,
        "currency": "EUR",
        "score_id": "s1",
        "source": {"epoch": 0, "partition": 0, "offset": number},
        "rules": "9a1c0b7d2e4f",
    }
    return Action.model_validate(fields | said)


async def write_actions(settings: Settings, actions: Sequence[Action | bytes]) -> None:
    """Put actions where `act` would."""
    producer = OutputProducer(settings, lambda error: None)
    await producer.start()
    for each in actions:
        value = each if isinstance(each, bytes) else orjson.dumps(each.model_dump(mode="json"))
        key = b"c" if isinstance(each, bytes) else each.customer_id.encode()
        where = partition_of(key, settings.partitions)
        await producer.send(settings.topic("actions"), where, [Message(key, value)])
    await producer.stop()
