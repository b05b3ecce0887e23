"""The packages that only evaluations take, asked for in one place."""

from __future__ import annotations

from importlib.util import find_spec

from crm_online.errors import ConfigurationError

__all__ = ["require"]


def require(*packages: str, purpose: str) -> None:
    """See to it that packages of the extra ``evaluate`` are there, before any work is done.

    Parameters
    ----------
    packages
        As they are imported.
    purpose
        What takes them, as a sentence may begin.

    Raises
    ------
    ConfigurationError
        Where one is missing.

    Examples
    --------
    >>> require("json", purpose="this")
    >>> require("no_such_package", purpose="--plot")
    Traceback (most recent call last):
        ...
    crm_online.errors.ConfigurationError: --plot takes no_such_package, which is not installed: \
run pip install -e '.[evaluate]' in its folder
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ConfigurationError(
            f"{purpose} takes {', '.join(missing)}, which is not installed: "
            "run pip install -e '.[evaluate]' in its folder"
        )
