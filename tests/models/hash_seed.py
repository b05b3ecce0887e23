"""Prints a digest of the models that a fixed history makes; run under different hash seeds."""

from __future__ import annotations

import hashlib

from crm_online.models.active import new_models
from crm_online.settings import Settings
from tests.models.pickles import spelled_out


def main() -> None:
    clusters = new_models(Settings())["clusters"]
    for n in range(300):
        clusters.learn_one((float(n % 90), float(n % 7), float(n * 13 % 500)))  # type: ignore[attr-defined]
    print(hashlib.sha256(spelled_out(clusters)).hexdigest())  # noqa: T201 - read by the test


if __name__ == "__main__":
    main()
