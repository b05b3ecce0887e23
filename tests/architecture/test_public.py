"""What is public is said to be so, is there, and is documented."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType

import pytest

import crm_online
import streams


def _modules() -> Iterator[str]:
    for package in (crm_online, streams):
        yield package.__name__
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                yield module.name


MODULES = list(_modules())


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(request.param)


def test_every_module_says_what_it_is(module: ModuleType) -> None:
    assert module.__doc__


def test_all_names_what_is_there(module: ModuleType) -> None:
    assert hasattr(module, "__all__") or _is_bare_package(module)
    assert len(set(_public(module))) == len(_public(module))
    for name in _public(module):
        assert hasattr(module, name), name


def test_what_is_public_is_documented(module: ModuleType) -> None:
    for name in _public(module):
        for label, thing in _documentable(name, getattr(module, name)):
            assert inspect.getdoc(thing), f"{module.__name__}.{label}"


def _public(module: ModuleType) -> list[str]:
    return list(getattr(module, "__all__", ()))


def _is_bare_package(module: ModuleType) -> bool:
    own = (thing for name, thing in vars(module).items() if not name.startswith("__"))
    return hasattr(module, "__path__") and all(inspect.ismodule(x) or x is annotations for x in own)


def _documentable(name: str, thing: object) -> Iterator[tuple[str, object]]:
    if inspect.isfunction(thing):
        yield name, thing
    if inspect.isclass(thing):
        yield name, thing
        for member, value in vars(thing).items():
            if not member.startswith("_") and isinstance(
                value, staticmethod | classmethod | property
            ):
                yield f"{name}.{member}", value
            elif not member.startswith("_") and inspect.isfunction(value):
                yield f"{name}.{member}", getattr(thing, member)


def test_the_core_can_be_embedded_without_kafka() -> None:
    assert set(crm_online.__all__) >= {"Learner", "Scorer", "Settings"}
    assert all(getattr(crm_online, name) for name in crm_online.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Table'"):
        crm_online.Table  # noqa: B018 - the access is what raises
