"""Models as settings write them, and those that predict where the settings name no others."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator

__all__ = ["CHURN_MODEL", "CLUSTER_MODEL", "VALUE_MODEL", "Challengers", "ModelSpec"]

ModelSpec = dict[str, Any]


def _check_challengers(specs: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
    for name, spec in specs.items():
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", name) or name == "main":
            raise ValueError(
                f"{name!r} names no challenger: use up to 32 small letters, digits, '-' and "
                "'_'; 'main' is the model that is configured itself"
            )
        share = spec.get("share", 1.0)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise ValueError(f"the share of {name} must be above 0 and at most 1")
    return specs


Challengers = Annotated[dict[str, ModelSpec], AfterValidator(_check_challengers)]

CHURN_MODEL: ModelSpec = {"class": "crm_online.models.pacing.TwoPaces"}
VALUE_MODEL: ModelSpec = {"class": "crm_online.models.spend.ExpectedSpend"}
CLUSTER_MODEL: ModelSpec = {
    "pipeline": [
        {"class": "river.preprocessing.StandardScaler"},
        {"class": "river.cluster.KMeans", "n_clusters": 5, "halflife": 0.05, "seed": 7},
    ]
}
