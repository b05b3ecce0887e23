"""Estimators by name and parameters: what settings say becomes River objects."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import Any, Final

from river import base, compose

from crm_online.errors import ConfigurationError

__all__ = ["build"]

# The last is yours: any folder of that name on the path, see docs/new-model.md.
TRUSTED_PACKAGES: Final = ("river", "crm_online", "crm_online_models")


def build(
    spec: Mapping[str, Any],
    setting: str = "model",
    *,
    kind: type | None = None,
    allow: Collection[str] = (),
) -> Any:
    """Build an estimator from its description.

    Parameters
    ----------
    spec
        ``{"class": dotted name, **parameters}`` or ``{"pipeline": [spec, ...]}``; parameters
        may be specs themselves.
    setting
        Name of the setting that the description comes from, for messages.
    kind
        What the estimator must be, such as ``river.base.Classifier``.
    allow
        Dotted names of further classes, outside River and this project.

    Raises
    ------
    ConfigurationError
        Where a class is unknown, not allowed, refuses its parameters, draws random numbers
        without a seed, or is of another kind; the message names the setting.

    Examples
    --------
    >>> str(build({"pipeline": [{"class": "river.preprocessing.StandardScaler"},
    ...                         {"class": "river.linear_model.LogisticRegression", "l2": 0.1}]}))
    'StandardScaler | LogisticRegression'
    """
    built = _Builder(setting, frozenset(allow)).build(spec)
    if kind is not None and not isinstance(built, kind):
        raise ConfigurationError(f"{setting}: {built} is not a {kind.__name__}")
    return built


class _Builder:
    """Builds one description; remembers which setting it came from."""

    def __init__(self, setting: str, allow: frozenset[str]) -> None:
        self.setting = setting
        self.allow = allow

    def build(self, spec: Any) -> Any:
        if isinstance(spec, list | tuple):
            return [self.build(part) for part in spec]
        if not isinstance(spec, Mapping) or not ("class" in spec or "pipeline" in spec):
            return spec
        if "pipeline" in spec:
            return self._pipeline(spec)
        parameters = {name: self.build(part) for name, part in spec.items() if name != "class"}
        cls = self._class(spec["class"])
        try:
            made = cls(**parameters)
        except (TypeError, ValueError, AttributeError) as error:
            raise self._wrong(f"{spec['class']} refuses its parameters: {error}") from error
        if isinstance(made, base.Base) and made._is_stochastic:
            raise self._wrong(
                f"give {spec['class']} a seed: the same outcomes must always make the same model"
            )
        return made

    def _pipeline(self, spec: Mapping[str, Any]) -> compose.Pipeline:
        steps = spec["pipeline"]
        if len(spec) > 1 or not isinstance(steps, list | tuple) or not steps:
            raise self._wrong('write a pipeline as {"pipeline": [step, ...]}')
        made = [self.build(step) for step in steps]
        if not all(isinstance(step, base.Estimator) for step in made):
            raise self._wrong("every step of a pipeline must be a River estimator")
        return compose.Pipeline(*made)

    def _class(self, dotted: Any) -> type:
        if not isinstance(dotted, str) or "." not in dotted:
            raise self._wrong('write a class by its full name, such as "river.cluster.KMeans"')
        module, _, name = dotted.rpartition(".")
        own = module.partition(".")[0] in TRUSTED_PACKAGES
        if not own and dotted not in self.allow:
            raise self._wrong(
                f"{dotted} is neither of River nor of crm_online, nor allowed: put an estimator of "
                "your own into a folder crm_online_models on PYTHONPATH"
            )
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise self._wrong(f"there is no {dotted}") from error
        if not isinstance(found, type) or (own and not _of_trusted_package(found)):
            raise self._wrong(f"{dotted} is not a class of River or crm_online")
        return found

    def _wrong(self, message: str) -> ConfigurationError:
        return ConfigurationError(f"{self.setting}: {message}")


def _of_trusted_package(found: type) -> bool:
    return found.__module__.partition(".")[0] in TRUSTED_PACKAGES
