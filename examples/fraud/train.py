"""Trains the model of the demo on the features that the demo's own SQL has made, so that it scores what it was trained on.

    ./x demo                                                        leaves the history of payments and reports
    ./x pelton replay examples/fraud/fraud.sql --into demo-out/train     computes all again from it, the features too
    pip install xgboost-cpu pyarrow
    python examples/fraud/train.py demo-out/train/training.parquet examples/fraud/fraud.ubj

Each row is what was known of a payment at its own moment, with the label that came a day later. The first five days are trained on, the last
two tell how good the model is on payments that it has not seen. The same rows give the same model.
"""

import sys

import numpy as np
import pyarrow.parquet as pq
import xgboost

NOT_FEATURES = ("payment_id", "event_time", "card", "terminal", "truly_fraud")


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """The mean of the precision at each fraud, from the highest score down."""
    hits = truth[np.argsort(-score, kind="stable")]
    return float(np.mean(np.cumsum(hits)[hits] / (np.flatnonzero(hits) + 1)))


def main(source: str, target: str) -> None:
    table = pq.read_table(source).sort_by([("event_time", "ascending"), ("payment_id", "ascending")])
    names = [name for name in table.column_names if name not in NOT_FEATURES]
    # NULL is what XGBoost calls missing.
    rows = np.column_stack([table[name].cast("double").fill_null(float("nan")).to_numpy() for name in names]).astype(np.float32)
    truth = table["truly_fraud"].to_numpy(zero_copy_only=False).astype(bool)
    days = table["event_time"].cast("date32").cast("int32").to_numpy()
    early = days < days.min() + 5
    model = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 4, "eta": 0.15, "seed": 7, "nthread": 1, "tree_method": "hist"},
        xgboost.DMatrix(rows[early], truth[early], feature_names=names),
        num_boost_round=60,
    )
    score = model.predict(xgboost.DMatrix(rows[~early], feature_names=names))
    print(f"trained on {early.sum():,} payments, {truth[early].sum():,} of them fraud")
    print(f"average precision on {(~early).sum():,} later ones: {average_precision(truth[~early], score):.3f} (by chance {truth[~early].mean():.3f})")
    model.save_model(target)
    print(f"wrote {target}")


main(*sys.argv[1:])
