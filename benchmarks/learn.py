"""How fast the learner learns: CPU time per outcome, with live quality, by challengers.

python benchmarks/learn.py [--customers 300] [--days 70] [--challengers JSON]
"""

from __future__ import annotations

import argparse
import json
import time

from crm_online import InProcess, Learner, Settings
from crm_online.log import LogRecord
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings

BATCH, REPEATS = 1_000, 3


def outcomes(customers: int, days: float) -> list[LogRecord]:
    """Score a generated population, and keep what stands on the outcomes topic."""
    both = InProcess(Settings(horizon_days=10))
    events = Population(PopulationSettings(customers=customers, days=days, seed=5)).events()
    log = [
        LogRecord(i, int(e.at * 1000), e.customer.encode(), e.value) for i, e in enumerate(events)
    ]
    written = [
        message
        for first in range(0, len(log), BATCH)
        for effects in both.process(0, log[first : first + BATCH])
        for message in effects.outputs.get("outcomes", ())
    ]
    return [LogRecord(i, 0, m.key, m.value, m.headers) for i, m in enumerate(written)]


def seconds(records: list[LogRecord], settings: Settings) -> float:
    """Learn all of them, and say and pack what was learned once; returns CPU seconds."""
    learner = Learner(settings)
    begun = time.process_time()
    for first in range(0, len(records), BATCH):
        learner.process("outcomes", records[first : first + BATCH])
    learner.metrics()
    return time.process_time() - begun


def main() -> None:
    """Measure, and print one line per setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=300)
    parser.add_argument("--days", type=float, default=70.0)
    parser.add_argument("--challengers", type=json.loads, default={})
    parser.add_argument("--json", action="store_true", help="the champion alone, as JSON")
    given = parser.parse_args()
    records = outcomes(given.customers, given.days)
    for name, challengers in (("champion alone", {}), ("with challengers", given.challengers)):
        if name == "champion alone" or challengers:
            settings = Settings(horizon_days=10, churn_challengers=challengers)
            best = min(seconds(records, settings) for _ in range(REPEATS))
            each = best / len(records) * 1e6
            if given.json:
                print(json.dumps({"learner_outcomes_per_second": 1e6 / each}))
                return
            print(f"{name}: {len(records):,} outcomes, {each:.1f} µs each, {1e6 / each:,.0f}/s")


if __name__ == "__main__":
    main()
