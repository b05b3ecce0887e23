"""The command line: thin, every command calls one function."""

from __future__ import annotations

import typer

from streams import options
from streams.dead_letters.commands import commands as dead_letters
from streams.delivering.commands import commands as endpoints
from streams.demo.commands import demo
from streams.evaluating.commands import evaluate_app
from streams.exits import Commands
from streams.exporting.commands import export_app
from streams.items.commands import commands as items
from streams.model_commands.commands import commands as models
from streams.profiling.commands import profile
from streams.retracing.commands import consistency, features
from streams.rules.commands import commands as rules
from streams.simulating.commands import simulate
from streams.upkeep.commands import adopt, backup, reset, restore
from streams.uplift.commands import uplift
from streams.verify.commands import verify

__all__ = ["app", "main"]

app = typer.Typer(
    name="crm-online",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for group in (dead_letters, evaluate_app, models, items, rules, export_app, endpoints):
    app.add_typer(group)
for command in (
    simulate,
    profile,
    features,
    consistency,
    verify,
    adopt,
    reset,
    backup,
    restore,
    uplift,
    demo,
):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    app(prog_name="crm-online")


@app.callback()
def _common(
    version: options.Version = False,
    traceback: options.Traceback = False,
) -> None:
    """Score customers at every event: segment, churn, value, next items; Kafka in, Kafka out.

    Start here:
      crm-online demo            watch it work; needs no servers
      crm-online score FILE      score a file; needs no servers, either
      crm-online worker          run the service
      crm-online COMMAND --help  options and examples

    Settings come from flags, CRM_… variables and a TOML file; the command
    config shows them. Results go to standard output, all else to standard error.

    Exit codes: 0 done; 1 failed, not found or different; 2 wrong usage or
    settings; 3 Kafka or Redis is away; 130 stopped by Ctrl-C; 141 the reader
    of a pipe went away.
    """


@app.command()
def worker(
    roles: options.Roles = "all",
    kafka: options.Kafka = None,
    redis: options.Redis = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Run the service: events, scores, models, cache, actions, webhooks, HTTP.

    Examples:
      crm-online worker
      crm-online worker --roles score --kafka broker-1:9092,broker-2:9092
      crm-online worker --set rules_file=rules.toml
      CRM_HORIZON_DAYS=60 crm-online worker --settings crm.toml
      crm-online worker --set web_port=8080

    Runs until SIGTERM or Ctrl-C, and then ends in order with 0.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, redis=redis, app=prefix)
    names = options.parse_roles(roles)
    if roles.strip() == "all":
        names = options.usable(names, settings)
    from streams.logs import configure_logs, log_loading, warn_of_default_key

    configure_logs()
    warn_of_default_key(settings)
    log_loading(settings, names)
    from streams.worker import run

    run(settings, names)


@app.command()
def topics(
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Create the topics that are missing; show what differs from the plan, and leave it be.

    Examples:
      crm-online topics
      crm-online topics --set partitions=16 --set replication_factor=3
      crm-online topics --json | jq .differences

    Exits with 1 where a topic is not as planned.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.topic_command import show_topics

    raise typer.Exit(show_topics(settings, json=json_))


@app.command()
def replay(
    file: options.File,
    format_: options.Format = "segment",
    speed: options.Speed = "max",
    order: options.Order = None,
    max_ahead: options.MaxAhead = None,
    json_: options.Json = False,
    customer: options.Customer = None,
    at: options.At = None,
    item: options.Item = None,
    amount: options.Amount = None,
    kind: options.Kind = None,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Put any history on the events topic, in event time, never far ahead of its readers.

    Examples:
      crm-online replay events.jsonl.gz
      crm-online replay events.jsonl --speed 60x --max-ahead none
      crm-online replay online_retail.csv.gz --format online-retail
      crm-online replay sales.csv --format csv --customer client --at day

    A worker must be running, unless you say --max-ahead none.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from crm_online.simulation.replay import parse_speed
    from streams.steps import ColumnNames, open_history, parse_max_ahead

    factor, ahead = parse_speed(speed), parse_max_ahead(max_ahead, settings)
    history = open_history(file, format_, ColumnNames(customer, at, item, amount, kind), order)
    from streams.feed_command import replay_file

    raise typer.Exit(
        replay_file(settings, history, factor=factor, max_ahead_seconds=ahead, json=json_)
    )


@app.command()
def show(
    customer: options.CustomerId,
    json_: options.Json = False,
    redis: options.Redis = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Show everything in the cache on one customer.

    Examples:
      crm-online show 17850
      crm-online show 17850 --json | jq .scores.segment

    Exits with 1 for a customer who is not in the cache.
    """
    settings = options.settings_of(settings_file, set_, redis=redis, app=prefix)
    from streams.show import show_customer

    raise typer.Exit(show_customer(settings, customer, json=json_))


@app.command()
def score(
    file: options.File,
    format_: options.Format = "segment",
    outcomes: options.Outcomes = False,
    order: options.Order = None,
    max_ahead: options.MaxAhead = None,
    customer: options.Customer = None,
    at: options.At = None,
    item: options.Item = None,
    amount: options.Amount = None,
    kind: options.Kind = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Score and learn from a file, without Kafka: JSON lines out, a summary on standard error.

    Examples:
      crm-online score events.jsonl > scores.jsonl
      crm-online score events.jsonl --outcomes --set horizon_days=60
      crm-online score online_retail.csv.gz --format online-retail
      crm-online score sales.csv --format csv --customer client --at day

    Exits with 1 where the file is cut short or holds no event.
    """
    settings = options.settings_of(settings_file, set_)
    from streams.steps import ColumnNames, open_history, parse_max_ahead

    ahead = parse_max_ahead(max_ahead, settings)
    history = open_history(file, format_, ColumnNames(customer, at, item, amount, kind), order)
    from streams.score_command import score_file

    raise typer.Exit(score_file(settings, history, outcomes=outcomes, max_ahead_seconds=ahead))


@app.command()
def config(
    json_: options.Json = False,
    kafka: options.Kafka = None,
    redis: options.Redis = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Show the settings in force and where each came from, secrets masked.

    Examples:
      crm-online config
      crm-online config --settings crm.toml
      CRM_HORIZON_DAYS=60 crm-online config --json | jq .horizon_days

    Flags win over CRM_… variables, those over the file, that over defaults.
    An empty variable counts as unset; none empties what is optional; models
    and lists are JSON.
    """
    from streams.configuration import in_force
    from streams.show_config import show_settings

    flags = options.flags_of(set_, kafka=kafka, redis=redis, app=prefix)
    show_settings(in_force(flags, settings_file), json=json_)
