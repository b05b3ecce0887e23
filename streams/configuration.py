"""Settings in force: loading them with errors that name the setting, and where each came from."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource

from crm_online.errors import ConfigurationError
from crm_online.settings import SETTINGS_FILE, Settings

__all__ = ["InForce", "in_force", "load", "parse_pairs"]

_OTHER_VARIABLES = {SETTINGS_FILE, "CRM_DATA_FOLDER"}


class InForce(NamedTuple):
    """One setting: its value as text, secrets masked, and where it came from."""

    name: str
    value: Any
    origin: str


def load(flags: Mapping[str, Any] | None = None, file: Path | None = None) -> Settings:
    """Read the settings: flags over environment over file over defaults.

    Parameters
    ----------
    flags
        Values by field name; those that are ``None`` are left out.
    file
        A TOML file; wins over the one that ``CRM_SETTINGS_FILE`` names.

    Raises
    ------
    ConfigurationError
        Naming the first setting that is wrong or unknown, and what to do.
    """
    if file is not None:
        os.environ[SETTINGS_FILE] = str(file)
    _check_file()
    _check_environment()
    try:
        return Settings(**_given(flags))
    except ValidationError as error:
        raise ConfigurationError(_sentence(error)) from error


def in_force(flags: Mapping[str, Any] | None = None, file: Path | None = None) -> list[InForce]:
    """List every setting with its value, secrets masked, and its origin."""
    settings = load(flags, file)
    given, environment, in_file = _given(flags), EnvSettingsSource(Settings)(), _read_file()
    rows = []
    for name in Settings.model_fields:
        if name in given:
            origin = "flag"
        elif name in environment:
            origin = f"environment CRM_{name.upper()}"
        elif name in in_file:
            origin = f"file {os.environ[SETTINGS_FILE]}"
        else:
            origin = "default"
        rows.append(InForce(name, _masked(getattr(settings, name)), origin))
    return rows


def parse_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value that is JSON is taken as such.

    Raises
    ------
    ConfigurationError
        Where a pair has no ``=``, or its name is no setting.

    Examples
    --------
    >>> parse_pairs(["horizon_days=60", "app=shop"])
    {'horizon_days': '60', 'app': 'shop'}
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip().lower().removeprefix("crm_").replace("-", "_")
        if not equals or name not in Settings.model_fields:
            near = get_close_matches(name, Settings.model_fields, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigurationError(f"--set takes name=value with the name of a setting{hint}")
        values[name] = json.loads(text) if text[:1] in {"{", "["} else text
    return values


def _given(flags: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (flags or {}).items() if value is not None}


def _masked(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _read_file() -> dict[str, Any]:
    file = os.environ.get(SETTINGS_FILE)
    return tomllib.loads(Path(file).read_text(encoding="utf-8")) if file else {}


def _check_file() -> None:
    file = os.environ.get(SETTINGS_FILE)
    try:
        _read_file()
    except OSError as error:
        raise ConfigurationError(
            f"the settings file {file} cannot be read ({error.strerror}); correct {SETTINGS_FILE}"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"the settings file {file} is no valid TOML: {error}") from error


def _check_environment() -> None:
    known = {f"CRM_{name.upper()}" for name in Settings.model_fields} | _OTHER_VARIABLES
    for name in sorted(os.environ):
        if name.startswith("CRM_") and name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "unset it"
            raise ConfigurationError(f"{name} is no setting; {hint} `crm-online config` lists all")


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    name = f"CRM_{place.upper()}" if place else "the settings"
    return f"{name}: {message}; `crm-online config` shows what is in force"
