"""Settings that are well-formed and of no use all the same: found before anything starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from crm_online.errors import ConfigurationError

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["check_usable"]

_FILES: Final = ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file", "redis_ca_file")
_API_KEY: Final = re.compile(r"(watcher|site|marketer):.{8,}")
_WRITE_KEY: Final = re.compile(r"[^:]{8,}")  # a colon ends the user name of Basic auth
_MODELS: Final = frozenset(
    {"churn_model", "value_model", "cluster_model", "churn_challengers", "value_challengers"}
)


def check_usable(settings: Settings, given: Mapping[str, str]) -> None:
    """Refuse files that are not there, keys and logins that let in all or nobody, unusable models.

    Parameters
    ----------
    settings
        Of the whole program.
    given
        What messages call each setting that was given; the others have their defaults.

    Raises
    ------
    ConfigurationError
        Naming the setting.
    """
    for name in _FILES:
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            raise ConfigurationError(
                f"{given[name]}: there is no file {path}; correct or remove it"
            )
    for key in settings.write_keys:
        if not _WRITE_KEY.fullmatch(key.get_secret_value()):
            raise ConfigurationError(
                f"{given['write_keys']}: write keys of 8 characters or more, without ':'"
            )
    for key in settings.api_keys:
        if not _API_KEY.fullmatch(key.get_secret_value()):
            raise ConfigurationError(
                f"{given['api_keys']}: write role:key, role being watcher, site or marketer, and "
                "the key 8 characters or longer"
            )
    if settings.kafka_security_protocol != "PLAINTEXT":
        from streams.connection import client_options  # noqa: PLC0415 - half a second

        client_options(settings)
    if not _MODELS.isdisjoint(given):
        from crm_online.models.active import new_models  # noqa: PLC0415 - a second
        from crm_online.models.challengers import new_contests  # noqa: PLC0415 - a second

        new_models(settings)
        new_contests(settings)
