"""The role `act`: rules take effect on the log, actions come exactly once, outcomes carry them."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka.admin import AdminClient

from crm_online.actions.acting import Actor
from crm_online.actions.files import read_rules_file
from crm_online.actions.state import ActionState, Send, decode
from crm_online.deciding import TREATMENT_TYPE
from crm_online.errors import ConfigurationError
from crm_online.internal import PROGRESS_KEY
from crm_online.log import LogRecord, Message
from crm_online.settings import Settings
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.feeding import partition_of
from streams.producer import OutputProducer
from streams.roles.act import ActRole
from tests.acting import HOUR, START, Scores, in_force, score
from tests.streams.job import Process, Tail, in_turn, job_settings, population, send, until, working
from tests.streams.test_upkeep import _add_partitions as add_partitions
from tests.streams.test_upkeep import done, make_anew, refusal

NOUNS = ("scores", "actions", "action-state", "events", "outcomes", "state", "models")
RULES = """
[limits]
overall = [{ at_most = 3, days = 1 }]
per_hour = 400

[quiet_hours]
from = "23:00"
to = "05:00"

[control]
share = 0.3

[[rules]]
name = "risk"
action = "win-back"
when = { churn_above = 0.6 }

[[rules]]
name = "cart"
action = "cart"
when = { any = [{ cart_left_hours = 1 }, { viewed = 2 }, { silent_days = 2 }] }
"""


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    file = tmp_path / "rules.toml"
    file.write_text(RULES, encoding="utf-8")
    return file


def acting_settings(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey, file: Path, **more: Any
) -> Settings:
    given = {"rules_file": file, "max_action_age_seconds": 1e10, "max_in_flight_events": 400}
    return job_settings(app, broker, valkey, **(given | more))


async def write_scores(settings: Settings, log: Scores, *first: Message) -> None:
    """Put scores where the scorer of their customer would, behind what comes first everywhere."""
    producer = OutputProducer(settings, lambda error: None)
    await producer.start()
    for partition in range(settings.partitions):
        await producer.send(settings.topic("scores"), partition, first)
    for record in log.records:
        where = partition_of(record.key or b"", settings.partitions)
        await producer.send(settings.topic("scores"), where, [record[2:]])  # type: ignore[list-item]
    await producer.stop()


def waves(customers: int, times: int, first: int = 0) -> Scores:
    """Customers who come to be at risk again and again, fill a cart, and go silent."""
    log = Scores()
    for n in range(first, first + times):
        for c in range(customers):
            at = START + (n * 7.0 + c / customers) * HOUR
            event = ("Product Viewed", "Product Added", "page", "Order Completed")[(n + c) % 4]
            chance = 0.9 if (n + c) % 3 else 0.1
            log.add(
                score(f"c-{c}", at, churn_probability=chance, event=event, items=[f"p-{c % 5}"])
            )
    return log


def progress(tail: Tail) -> dict[int, int]:
    """Partition to the offset of the last score that is durably applied."""
    found: dict[int, int] = {}
    for record in tail.records["action-state"]:
        if record.key == PROGRESS_KEY:
            found[record.partition] = orjson.loads(record.value)["as_of"]
    return found


def is_done(tail: Tail) -> bool:
    ends = {p: records[-1].offset for p, records in in_turn(tail.records["scores"]).items()}
    done = progress(tail)
    return bool(ends) and all(done.get(p, -1) >= end for p, end in ends.items())


async def until_acted(tail: Tail) -> None:
    """Wait until all scores that stand on the log now are durably applied."""
    await tail.read_all()
    await tail.until(partial(is_done, tail))


def versions(worker: Any) -> set[str]:
    role = worker.apps["act"].role
    return {role.actor.version(p) for p in range(role._settings.partitions)}


def assert_exact(settings: Settings, tail: Tail, *, repeats: bool) -> int:
    """Compare with an undisturbed run over the same log; returns how many actions there were."""
    actor, wanted = Actor(settings), {}
    treatments: list[bytes] = []
    for partition, records in in_turn(tail.records["scores"]).items():
        actor.restore(partition).finish()
        for effects in actor.process(partition, records):
            for message in effects.outputs.get("actions", ()):
                wanted[dict(message.headers)["ce_id"]] = message.value
            treatments += [m.value or b"" for m in effects.outputs.get("events", ())]
    found = Counter((dict(r.headers)["ce_id"], r.value) for r in tail.records["actions"])
    assert dict(found.keys()) == wanted  # a repeat says the very same
    assert repeats or set(found.values()) <= {1}
    told = [r.value for r in tail.records["events"] if _is_treatment(r)]
    assert set(told) == set(treatments)
    assert repeats or len(told) == len(treatments)
    assert shelved(tail.records["action-state"]) == {
        c: decode(packed) for p in actor.partitions.values() for c, packed in p.store.packed.items()
    } | {"\x01rules": shelved(tail.records["action-state"])["\x01rules"]}
    return len(wanted)


def _is_treatment(record: Any) -> bool:
    return bool(record.headers and dict(record.headers).get("ce_type") == TREATMENT_TYPE)


def shelved(records: list[Any]) -> dict[str, ActionState]:
    found: dict[str, ActionState] = {}
    for record in records:
        if record.value is not None and record.key != PROGRESS_KEY:
            state, key = decode(record.value), record.key.decode()
            if key not in found or state.place >= found[key].place:
                found[key] = state
    return found


def test_without_rules_the_role_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="CRM_RULES_FILE"):
        ActRole(Settings(), lambda error: None)


def test_a_trait_that_scores_do_not_carry_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "rules: [{name: a, action: a, when: {viewed: 2}, who: {traits: {plan: [gold]}}}]"
    )
    with pytest.raises(ConfigurationError, match="CRM_KEPT_TRAITS"):
        ActRole(Settings(rules_file=file), lambda error: None)
    ActRole(Settings(rules_file=file, kept_traits=("plan",)), lambda error: None)


@pytest.mark.asyncio
async def test_rules_take_effect_and_change_while_the_worker_runs(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey, rules_file: Path
) -> None:
    settings = acting_settings(app, broker, valkey, rules_file)
    async with Tail(settings, *NOUNS) as tail, working(settings, ["act"]) as worker:
        role: Any = worker.apps["act"].role
        first = role.rules.version
        await until(lambda: versions(worker) == {first})
        await write_scores(settings, waves(12, 6))
        await until_acted(tail)
        await until(lambda: versions(worker) == {first})
        await asyncio.to_thread(rules_file.write_text, "nonsense = [")
        await until(lambda: role._stamp != (-1, -1) and role._stamp[1] == len("nonsense = ["))
        assert versions(worker) == {first}
        await asyncio.to_thread(rules_file.write_text, RULES.replace("0.6", "0.5"))
        await until(lambda: role.rules.version != first)
        await until(lambda: versions(worker) == {role.rules.version})
        await write_scores(settings, waves(12, 3, first=20))
        await until_acted(tail)
        await tail.read_all()
        assert assert_exact(settings, tail, repeats=False) > 20
        said = Counter(orjson.loads(r.value)["rules"] for r in tail.records["actions"])
        assert said.keys() == {first, role.rules.version}


@pytest.mark.real
@pytest.mark.asyncio
async def test_an_actor_killed_twice_sends_nothing_twice_and_forgets_nothing(
    app: str, real_kafka: RealKafka, valkey: Valkey, rules_file: Path, tmp_path: Path
) -> None:
    settings = acting_settings(
        app, real_kafka, valkey, rules_file, max_batch=5, max_in_flight_events=40
    )
    log, first = waves(30, 16), in_force(read_rules_file(rules_file))
    async with Tail(settings, *NOUNS) as tail:
        await write_scores(settings, log, first)
        for share in (0.2, 0.5):
            with Process(settings, tmp_path, ["act"]) as worker:
                await tail.until(partial(_has_applied, tail, share * len(log.records), worker))
                worker.kill()
            await tail.read_all()
            assert not is_done(tail)
        with Process(settings, tmp_path, ["act"]) as worker:
            await until_acted(tail)
            assert worker.stop() == 0
        await tail.read_all()
        assert assert_exact(settings, tail, repeats=True) > 100
        found = [orjson.loads(r.value) for r in tail.records["actions"]]
        delivered = {
            (a["action_id"], a["status"]) for a in found if a["status"] in {"sent", "released"}
        }
        assert len({action_id for action_id, _ in delivered}) == len(delivered) > 30


def _has_applied(tail: Tail, count: float, worker: Process) -> bool:
    return worker.alive() and sum(progress(tail).values()) > count


@pytest.mark.asyncio
async def test_outcomes_carry_what_was_done(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey, rules_file: Path
) -> None:
    settings = acting_settings(app, broker, valkey, rules_file)
    async with Tail(settings, *NOUNS) as tail:
        async with working(settings, ["act"]) as worker:
            await until(lambda: versions(worker) == {worker.apps["act"].role.rules.version})  # type: ignore[union-attr]
        async with working(settings, ["score", "learn", "act"]):
            await send(population(), settings, 2.0)
            await tail.until_applied()
            await until_acted(tail)
            await tail.until_applied()
        await tail.read_all()
        assert assert_exact(settings, tail, repeats=False) > 20
        outcomes = [orjson.loads(r.value) for r in tail.records["outcomes"] if r.key[:1] != b"\0"]
        fates = {o["action_id"]: o for o in outcomes if o["kind"] == "treatment"}
        decided = {
            a["action_id"]: a for a in map(_value, tail.records["actions"]) if a["treatment"]
        }
        assert len(fates) > 5
        for name, fate in fates.items():
            assert fate["treatment"] == decided[name]["treatment"]
            assert fate["at"] == decided[name]["at"]
        carried = [o["treatments"] for o in outcomes if o["kind"] == "settled"]
        assert {arm for each in carried for arm in each.values()} == {"treated", "control"}


def _value(record: Any) -> Any:
    return orjson.loads(record.value)


async def act_on(settings: Settings, log: Scores, *first: Message) -> list[Any]:
    """Run the role over some scores, to the end; returns all actions that stand on the topic."""
    async with Tail(settings, *NOUNS) as tail, working(settings, ["act"]):
        await write_scores(settings, log, *first)
        await until_acted(tail)
        await tail.read_all()
        return tail.records["actions"]


def _essence(record: Any) -> tuple[Any, ...]:
    a = orjson.loads(record.value)
    return a["customer_id"], a["rule"], a["status"], a["why"], a["at"]


@pytest.mark.real
@pytest.mark.asyncio
@pytest.mark.long
async def test_what_customers_were_sent_goes_along_to_another_topic_and_to_more_partitions(
    app: str, real_kafka: RealKafka, valkey: Valkey, rules_file: Path, tmp_path: Path
) -> None:
    settings = acting_settings(app, real_kafka, valkey, rules_file)
    first, parts = in_force(read_rules_file(rules_file)), (waves(24, 7), waves(24, 7, first=7))
    await act_on(settings, parts[0], first)
    assert "nothing to adopt" in (await done(settings, "adopt")).stdout
    await make_anew(settings, "scores")
    assert "run `crm-online adopt`" in await refusal(settings, tmp_path, "act")
    await done(settings, "adopt", "--yes")
    found = [_essence(record) for record in await act_on(settings, parts[1])]
    expected, actor = [], Actor(settings)
    for partition in range(settings.partitions):
        records = [r for part in parts for r in part.records if is_at(r, partition, settings)]
        numbered = [r._replace(offset=n) for n, r in enumerate([LogRecord(0, 0, *first), *records])]
        actor.restore(partition).finish()
        for effects in actor.process(partition, numbered):
            expected += [_essence(message) for message in effects.outputs.get("actions", ())]
    assert Counter(found) == Counter(expected)
    assert len(found) > 100
    await add_partitions(AdminClient({"bootstrap.servers": settings.kafka}), settings, 6)
    more = settings.model_copy(update={"partitions": 6})
    said = await done(more, "adopt", "--yes")
    assert "what customers were sent will move with them" in said.stderr
    async with Tail(more, "action-state") as tail:
        await tail.read_all()
        assert_moved(actor, in_turn(tail.records["action-state"]), more)


def _what(send: Send) -> tuple[float, str, str]:
    return send.at, send.action, send.channel


def is_at(record: LogRecord, partition: int, settings: Settings) -> bool:
    return partition_of(record.key or b"", settings.partitions) == partition


def assert_moved(actor: Actor, state: dict[int, list[Any]], settings: Settings) -> None:
    """Compare what stands where each customer belongs with what they were sent."""
    for held in actor.partitions.values():
        for customer, packed in held.store.packed.items():
            if customer != "\x01rules":
                home = partition_of(customer.encode(), settings.partitions)
                moved, kept = shelved(state[home])[customer], decode(packed)
                assert [_what(send) for send in moved.sends] == [_what(s) for s in kept.sends]
                for other, records in state.items():
                    last = [r.value for r in records if r.key == customer.encode()][-1:]
                    assert other == home or last in ([], [None])
