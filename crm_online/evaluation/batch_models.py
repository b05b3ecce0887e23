"""What users would otherwise train on the same rows: LightGBM and logistic regression."""

from __future__ import annotations

from typing import Any, Final

from crm_online.evaluation.gathering import Flags, Numbers

__all__ = ["CLASSIFIERS", "Classifier", "lightgbm", "logistic_regression"]

SEED: Final = 7


class Classifier:
    """A fitted classifier of scikit-learn's kind, asked for the chance of churn."""

    def __init__(self, fitted: Any) -> None:
        self._fitted = fitted

    def predict(self, features: Numbers) -> Numbers:
        """Return the chance of churn per row."""
        chances: Numbers = self._fitted.predict_proba(features)[:, 1]
        return chances


def lightgbm(features: Numbers, churned: Flags) -> Classifier:
    """Fit LightGBM as it comes: 100 trees of 31 leaves. One thread, as the scorer has one."""
    from lightgbm import LGBMClassifier  # noqa: PLC0415 - an extra

    model = LGBMClassifier(n_jobs=1, random_state=SEED, verbosity=-1)
    return Classifier(model.fit(features, churned))


def logistic_regression(features: Numbers, churned: Flags) -> Classifier:
    """Fit scikit-learn's logistic regression on scaled features."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - an extra
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return Classifier(model.fit(features, churned))


CLASSIFIERS: Final = {"lightgbm": lightgbm, "logistic_regression": logistic_regression}
