"""The command line: thin, every command calls one function."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from crm_online.errors import BrokerUnavailable, ConfigurationError, CrmOnlineError

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["app", "main"]

EXIT_FAILED, EXIT_USAGE, EXIT_UNAVAILABLE = 1, 2, 3

app = typer.Typer(
    name="crm-online",
    help="Score customers at every event: segment, churn, value and next items, from Kafka to Kafka and Redis.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="TOML file of settings.", show_default=False)
]
Kafka = Annotated[
    str | None, typer.Option(help="Bootstrap servers (CRM_KAFKA).", show_default=False)
]
Redis = Annotated[str | None, typer.Option(help="Redis address (CRM_REDIS).", show_default=False)]
Prefix = Annotated[
    str | None, typer.Option("--app", help="Prefix of topics and keys (CRM_APP).", show_default=False)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting, as name=value; may be repeated.", show_default=False),
]
Format = Annotated[
    str, typer.Option("--format", help="segment, online-retail, rees46, clicks or csv.")
]
MaxAhead = Annotated[
    str,
    typer.Option(help="Days of event time to run ahead of the slowest reader, or 'none'."),
]


def main() -> None:
    """Run the command line; exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 a server is away."""
    app()


@app.command()
def worker(
    roles: Annotated[str, typer.Option(help="all, or a list such as score,learn,cache.")] = "all",
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
    set_: Set = None,
    settings_file: SettingsFile = None,
) -> None:
    """Run the service: read events, score, learn, fill the cache.

    Examples:

      crm-online worker

      crm-online worker --roles score --kafka broker-1:9092,broker-2:9092

      CRM_HORIZON_DAYS=60 crm-online worker --settings crm.toml
    """
    with _errors():
        settings = _settings(settings_file, set_, kafka=kafka, redis=redis, app=prefix)
        from streams.worker import parse_roles, run

        run(settings, parse_roles(roles))


@app.command()
def topics(
    kafka: Kafka = None,
    prefix: Prefix = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    set_: Set = None,
    settings_file: SettingsFile = None,
) -> None:
    """Create what topics are missing; show what differs from the plan, and change nothing of it.

    Exits with 1 where an existing topic differs from the plan.

    Examples:

      crm-online topics

      crm-online topics --json --set partitions=16
    """
    with _errors():
        settings = _settings(settings_file, set_, kafka=kafka, app=prefix)
        from streams.topic_command import show_topics

        raise typer.Exit(show_topics(settings, json=json_))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="The history; .gz is unpacked on the way.")],
    format_: Format,
    speed: Annotated[str, typer.Option(help="max, or a multiple of real time such as 60x.")] = "max",
    max_ahead: MaxAhead = "1",
    customer: Annotated[str | None, typer.Option(help="csv: column of the customer id.")] = None,
    at: Annotated[str | None, typer.Option(help="csv: column of the time.")] = None,
    item: Annotated[str | None, typer.Option(help="csv: column of the item id.")] = None,
    amount: Annotated[str | None, typer.Option(help="csv: column of the amount.")] = None,
    kind: Annotated[str | None, typer.Option(help="csv: column of the event's name.")] = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json_: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
    set_: Set = None,
    settings_file: SettingsFile = None,
) -> None:
    """Put any history on the events topic, in event time, never far ahead of its readers.

    Examples:

      crm-online replay online_retail.csv.gz --format online-retail

      crm-online replay events.jsonl.gz --format segment --speed 60x

      crm-online replay sales.csv --format csv --customer client --at day --amount total
    """
    with _errors():
        settings = _settings(settings_file, set_, kafka=kafka, app=prefix)
        from streams.feed_command import replay_file

        dataset = _dataset(file, format_, (customer, at, item, amount, kind))
        raise typer.Exit(
            replay_file(settings, dataset, speed=speed, max_ahead=max_ahead, json=json_)
        )


@app.command()
def simulate(
    customers: Annotated[int, typer.Option(min=1, help="Size of the population.")] = 1000,
    days: Annotated[float, typer.Option(min=1, help="Days of event time.")] = 120.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 1,
    rate: Annotated[float | None, typer.Option(help="Events per second at the most.")] = None,
    max_ahead: MaxAhead = "1",
    output: Annotated[
        Path | None, typer.Option(help="Write JSON lines to this file ('-': standard output).")
    ] = None,
    kafka: Kafka = None,
    prefix: Prefix = None,
    json_: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
    set_: Set = None,
    settings_file: SettingsFile = None,
) -> None:
    """Put the events of a generated population on the events topic.

    Examples:

      crm-online simulate --customers 5000 --days 90 --rate 500

      crm-online simulate --seed 7 --output events.jsonl
    """
    with _errors():
        settings = _settings(settings_file, set_, kafka=kafka, app=prefix)
        from streams.feed_command import simulate_population

        raise typer.Exit(
            simulate_population(
                settings, customers, days, seed, rate=rate, max_ahead=max_ahead, output=output, json=json_
            )
        )


@app.command()
def show(
    customer: Annotated[str, typer.Argument(help="Customer id.")],
    redis: Redis = None,
    prefix: Prefix = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    set_: Set = None,
    settings_file: SettingsFile = None,
) -> None:
    """Show everything in the cache on one customer; exits with 1 for an unknown one.

    Examples:

      crm-online show 17850

      crm-online show 17850 --json | jq .scores.segment
    """
    with _errors():
        settings = _settings(settings_file, set_, redis=redis, app=prefix)
        from streams.show import show_customer

        raise typer.Exit(show_customer(settings, customer, json=json_))


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="The history; .gz is unpacked on the way.")],
    format_: Format = "segment",
    outcomes: Annotated[
        bool, typer.Option("--outcomes", help="Print settled outcomes in place of scores.")
    ] = False,
    max_ahead: MaxAhead = "1",
    customer: Annotated[str | None, typer.Option(help="csv: column of the customer id.")] = None,
    at: Annotated[str | None, typer.Option(help="csv: column of the time.")] = None,
    item: Annotated[str | None, typer.Option(help="csv: column of the item id.")] = None,
    amount: Annotated[str | None, typer.Option(help="csv: column of the amount.")] = None,
    kind: Annotated[str | None, typer.Option(help="csv: column of the event's name.")] = None,
    set_: Set = None,
    settings_file: SettingsFile = None,
) -> None:
    """Score and learn from a file without Kafka: JSON lines out, a summary on standard error.

    Examples:

      crm-online score events.jsonl

      crm-online score online_retail.csv.gz --format online-retail --outcomes --set horizon_days=60
    """
    with _errors():
        settings = _settings(settings_file, set_)
        from streams.score_command import score_file

        dataset = _dataset(file, format_, (customer, at, item, amount, kind))
        raise typer.Exit(score_file(settings, dataset, outcomes=outcomes, max_ahead=max_ahead))


@app.command()
def config(
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    kafka: Kafka = None,
    redis: Redis = None,
    prefix: Prefix = None,
    set_: Set = None,
    settings_file: SettingsFile = None,
) -> None:
    """Show the settings in force, where each came from, secrets masked.

    Examples:

      crm-online config

      CRM_HORIZON_DAYS=60 crm-online config --json
    """
    with _errors():
        from streams.configuration import in_force
        from streams.show_config import show_settings

        flags = _flags(set_, kafka=kafka, redis=redis, app=prefix)
        show_settings(in_force(flags, settings_file), json=json_)


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=10, help="How long to run.")] = 45.0,
    customers: Annotated[int, typer.Option(min=50, help="Size of the population.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 1,
) -> None:
    """Run the whole job on an embedded broker and cache, on a generated population, and watch it.

    Exits with 1 where a promise that it prints did not hold.

    Examples:

      crm-online demo

      crm-online demo --seconds 30 --customers 500
    """
    with _errors():
        from streams.demo import run_demo

        raise typer.Exit(run_demo(seconds=seconds, customers=customers, seed=seed))


def _settings(file: Path | None, pairs: list[str] | None, **flags: Any) -> Settings:
    from streams.configuration import load

    return load(_flags(pairs, **flags), file)


def _flags(pairs: list[str] | None, **flags: Any) -> dict[str, Any]:
    from streams.configuration import parse_pairs

    return {**parse_pairs(pairs or []), **{k: v for k, v in flags.items() if v is not None}}


def _dataset(file: Path, format_: str, names: tuple[str | None, ...]) -> Any:
    from crm_online.simulation.columns import ColumnMap
    from crm_online.simulation.datasets import open_dataset

    customer, at, item, amount, kind = names
    if format_ != "csv":
        if any(names):
            raise ConfigurationError("--customer, --at, --item, --amount and --kind go with --format csv")
        return open_dataset(file, format_, pass_damaged=True)
    if customer is None or at is None:
        raise ConfigurationError("--format csv needs --customer and --at: the columns' names")
    return open_dataset(file, format_, columns=ColumnMap(customer, at, item, amount, kind))


@contextmanager
def _errors() -> Iterator[None]:
    """Say what went wrong in one sentence, with an exit code that scripts can trust."""
    try:
        yield
    except ConfigurationError as error:
        _fail(error, EXIT_USAGE)
    except BrokerUnavailable as error:
        _fail(error, EXIT_UNAVAILABLE)
    except CrmOnlineError as error:
        from crm_online.errors import SinkUnavailable

        _fail(error, EXIT_UNAVAILABLE if isinstance(error, SinkUnavailable) else EXIT_FAILED)
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(EXIT_FAILED) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _fail(error: Exception, code: int) -> NoReturn:
    typer.secho(f"crm-online: {error}", fg="red", err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
