"""Settings in force: loading them with errors that name the setting, and where each came from."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import PydanticBaseSettingsSource

from crm_online.errors import ConfigurationError
from crm_online.settings import SETTINGS_FILE, Settings
from streams.masking import masked
from streams.usable import check_usable

__all__ = ["InForce", "in_force", "load", "only", "parse_pairs", "signs_by_default"]

_PREFIX: Final = "CRM_"
_OTHER_VARIABLES: Final = frozenset({SETTINGS_FILE})
# What Kubernetes puts into every container where a service is called crm-something.
_OF_KUBERNETES: Final = re.compile(
    r"(CRM_\w+?)_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)


class InForce(NamedTuple):
    """One setting: its value, secrets masked, and where it came from."""

    name: str
    value: Any
    origin: str


class _Given(NamedTuple):
    """A value as it was given, and by what."""

    value: Any
    origin: str
    label: str  # how messages call it


class _Merged(Settings):
    """Settings of the values passed in and nothing else: those are ranked already."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave out the environment and the file."""
        del settings_cls
        return (init_settings,)


def load(
    flags: Mapping[str, Any] | None = None,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings: flags over environment over file over defaults.

    Parameters
    ----------
    flags
        Values by field name; those that are ``None`` are left out.
    file
        A TOML file; wins over the one that ``CRM_SETTINGS_FILE`` names.
    environment
        Variables by name; those of the process by default.

    Raises
    ------
    ConfigurationError
        Naming the first setting that is wrong or unknown, and what to do.

    Examples
    --------
    >>> load({"app": "shop"}, environment={"CRM_HORIZON_DAYS": "60"}).horizon_days
    60.0
    """
    return _settings(_collect(flags, file, environment))


def only(**values: Any) -> Settings:
    """Make settings of these values and the defaults, whatever the environment and files say.

    Examples
    --------
    >>> only(horizon_days=60).horizon_days
    60.0
    """
    return _Merged(**values)


def in_force(
    flags: Mapping[str, Any] | None = None,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[InForce]:
    """List every setting with its value, secrets masked, and its origin; as of `load`."""
    given = _collect(flags, file, environment)
    settings = _settings(given)
    return [
        InForce(
            name,
            masked(getattr(settings, name)),
            given[name].origin if name in given else "default",
        )
        for name in Settings.model_fields
    ]


def parse_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``name=value`` pairs.

    Raises
    ------
    ConfigurationError
        Where a pair has no ``=`` or no value, or its name is no setting.

    Examples
    --------
    >>> parse_pairs(["horizon_days=60", "app=shop"])
    {'horizon_days': '60', 'app': 'shop'}
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip().lower().removeprefix("crm_").replace("-", "_")
        if not equals or not text.strip():
            raise ConfigurationError(
                f"--set takes name=value, such as horizon_days=60, and {name} has no value"
            )
        if name not in Settings.model_fields:
            raise ConfigurationError(f"--set {name}: there is no such setting; {_hint(name)}")
        values[name] = text
    return values


def signs_by_default(settings: Settings) -> bool:
    """Say whether the signing key is the one that everybody can read in the source."""
    return bool(settings.signing_key == Settings.model_fields["signing_key"].default)


def _settings(given: Mapping[str, _Given]) -> Settings:
    values = {name: _parsed(name, each) for name, each in given.items()}
    try:
        settings = _Merged(**values)
    except ValidationError as error:
        raise ConfigurationError(_sentence(error, given)) from None
    check_usable(settings, {name: each.label for name, each in given.items()})
    return settings


def _collect(
    flags: Mapping[str, Any] | None, file: Path | None, environment: Mapping[str, str] | None
) -> dict[str, _Given]:
    variables = os.environ if environment is None else environment
    named = file or variables.get(SETTINGS_FILE) or None
    return {
        **({} if named is None else _from_file(Path(named), given=file is not None)),
        **_from_environment(variables),
        **_from_flags(flags or {}),
    }


def _from_flags(flags: Mapping[str, Any]) -> dict[str, _Given]:
    return {
        name: _Given(value, "flag", f"the flag for {name}")
        for name, value in flags.items()
        if value is not None
    }


def _from_environment(variables: Mapping[str, str]) -> dict[str, _Given]:
    """Take what is set and not empty; compose files pass on empty variables for unset ones."""
    found = {}
    for variable in sorted(variables):
        name = variable.removeprefix(_PREFIX).lower()
        if not variable.startswith(_PREFIX) or variable in _OTHER_VARIABLES:
            continue
        if name not in Settings.model_fields:
            if _is_of_kubernetes(variable, variables):
                continue
            raise ConfigurationError(f"{variable} is no setting; {_hint(name, _PREFIX)}")
        if variables[variable].strip():
            found[name] = _Given(variables[variable], f"environment {variable}", variable)
    return found


def _is_of_kubernetes(variable: str, variables: Mapping[str, str]) -> bool:
    found = _OF_KUBERNETES.fullmatch(variable)
    return found is not None and f"{found[1]}_SERVICE_HOST" in variables


def _from_file(file: Path, *, given: bool) -> dict[str, _Given]:
    how = "--settings" if given else SETTINGS_FILE
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"the settings file {file} cannot be read ({error.strerror}): correct {how}"
        ) from None
    except ValueError as error:
        raise ConfigurationError(
            f"the settings file {file} is no valid TOML ({error}): write one setting a line, as "
            'horizon_days = 60 or currency = "EUR"'
        ) from None
    for name, value in found.items():
        if name not in Settings.model_fields and isinstance(value, dict):
            raise ConfigurationError(
                f"[{name}] in {file} is no setting: settings stand at the top level, so remove "
                "that line"
            )
        if name not in Settings.model_fields:
            raise ConfigurationError(f"{name} in {file} is no setting; {_hint(name)}")
    return {
        name: _Given(value, f"file {file}", f"{name} in {file}") for name, value in found.items()
    }


def _parsed(name: str, given: _Given) -> Any:
    """Read ``none``, and JSON where the setting is a model or a list."""
    if not isinstance(given.value, str):
        return given.value
    text, annotation = given.value.strip(), Settings.model_fields[name].annotation
    if text.lower() == "none" and type(None) in get_args(annotation):
        return None
    if not _is_nested(annotation):
        return text
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except ValueError as error:
        raise ConfigurationError(
            f"{given.label} is no valid JSON ({error}): write a model as "
            '{"class": "river.…"}, a list as ["Order Completed"]'
        ) from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice, of which Python would keep the last."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} stands in it twice")
    return dict(pairs)


def _is_nested(annotation: Any) -> bool:
    kinds = (annotation, *get_args(annotation))
    return any(getattr(kind, "__origin__", None) in {dict, tuple} for kind in kinds)


def _hint(name: str, prefix: str = "") -> str:
    near = get_close_matches(name.lower(), Settings.model_fields, 1)
    listed = "`crm-online config` lists all"
    return f"did you mean {_called(near[0], prefix)}?" if near else f"remove it: {listed}"


def _called(name: str, prefix: str) -> str:
    return prefix + name.upper() if prefix else name


def _sentence(error: ValidationError, given: Mapping[str, _Given]) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    name = str(first["loc"][0]) if first["loc"] else ""
    if name not in given:
        return f"the settings do not fit each other: {message}{_set_by(message, given)}"
    default = Settings.model_fields[name].default
    shown = "" if default is None or isinstance(default, dict | SecretStr) else f", {default}"
    place = ".".join(map(str, first["loc"][1:]))  # within a list of endpoints, say
    place = f"{name}.{place}: " if place else ""
    return f"{given[name].label}: {place}{message}; correct it, or remove it for the default{shown}"


def _set_by(message: str, given: Mapping[str, _Given]) -> str:
    named: Iterable[str] = (each.label for name, each in given.items() if name in message)
    labels = " and ".join(named)
    return f" (see {labels})" if labels else ""
