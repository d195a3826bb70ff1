#!/usr/bin/env python3
"""Makes the golden values that the probe's regression and its AUROC are compared with.

Writes tests/golden/probe_golden.json:
  regressions  [{x (samples x features), y, l2, weights, bias, auroc}]: scikit-learn's LogisticRegression (C = 1 / l2,
               bias not penalised) on standardised x, and roc_auc_score of its decision function on the same samples
Cases differ in size, balance, separability, regularisation and in a feature that never moves.

    scripts/golden/regenerate probe     # or, with scripts/golden/requirements.txt installed, this file
"""

import json
import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

DIGITS = 6
# samples, features, share of positives, distance of the classes, l2, a constant feature
CASES = (
    (60, 5, 0.5, 1.0, 1.0, False),
    (40, 3, 0.2, 40.0, 0.1, False),  # separable: the penalty alone keeps the weights finite
    (30, 40, 0.4, 0.5, 10.0, False),  # more features than samples
    (50, 4, 0.3, 1.5, 1.0, True),
)


def regression(seed: int, case: tuple) -> dict:
    samples, features, share, distance, l2, constant = case
    random = np.random.default_rng(seed)
    y = (np.arange(samples) < round(share * samples)).astype(int)
    x = random.normal(size=(samples, features)) * 3.0 + 1.0
    x[:, 0] += distance * y
    if constant:
        x[:, -1] = 2.0
    x = np.round(x, DIGITS)
    model = LogisticRegression(C=1.0 / l2, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    scaled = StandardScaler().fit_transform(x)
    model.fit(scaled, y)
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "l2": l2,
        "weights": model.coef_[0].tolist(),
        "bias": float(model.intercept_[0]),
        "auroc": float(roc_auc_score(y, model.decision_function(scaled))),
    }


def main() -> None:
    out = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/probe_golden.json"
    golden = {"regressions": [regression(seed, case) for seed, case in enumerate(CASES)]}
    out.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
