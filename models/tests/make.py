"""Makes the models of `fixtures/`, with what their libraries answer: python make.py, with xgboost-cpu and lightgbm installed.

Small models of every kind over made-up rows: numbers with missing values and infinities, ties with thresholds, categories that
training has not seen. `fixtures/NAME.json` has the rows and the answers, `fixtures/NAME.model.*` the models.
"""

import json
import sys
from pathlib import Path

import lightgbm
import numpy as np
import xgboost

HERE = Path(__file__).parent / "fixtures"
ROWS, TESTED = 600, 40


def rows(seed: int) -> np.ndarray:
    dice = np.random.default_rng(seed)
    x = np.round(dice.normal(0, 2, (ROWS, 5)), 1)
    x[:, 3] = dice.integers(0, 70, ROWS)  # categories
    x[:, 4] = np.where(dice.random(ROWS) < 0.6, 0.0, x[:, 4])
    x[dice.random((ROWS, 5)) < 0.15] = np.nan
    return x


def tested(x: np.ndarray) -> np.ndarray:
    """Rows of the training data, and odd ones."""
    t = x[:TESTED].copy()
    t[30] = np.nan
    t[31] = 0.0
    t[32] = -0.0
    t[33] = 1e30
    t[34] = -1e30
    t[35] = [1e-36, -1e-36, 1e-35, 1e-36, 1e-36]
    t[36, 3], t[37, 3], t[38, 3], t[39, 3] = 69.0, 500.0, 31.0, 32.0
    return t


def labels(x: np.ndarray, kind: str, seed: int) -> np.ndarray:
    dice = np.random.default_rng(seed + 1)
    signal = np.nan_to_num(x[:, 0]) - np.nan_to_num(x[:, 1]) * np.nan_to_num(x[:, 2]) + (np.nan_to_num(x[:, 3]) % 7 < 3) * 2 + dice.normal(0, 0.5, ROWS)
    if kind == "binary":
        return (signal > 1).astype(float)
    if kind == "classes":
        return np.clip(np.floor(signal / 2 + 1), 0, 2)
    if kind == "positive":
        return np.exp(np.clip(signal / 3, -3, 3))
    if kind == "ranks":
        return np.clip(np.floor(signal), 0, 4)
    return signal


def numbers(values: np.ndarray) -> list:
    """Bit for bit: the shortest text of each number, NaN as null."""
    return [None if np.isnan(v) else (v.item() if np.isfinite(v) else str(v)) for v in np.asarray(values).ravel()]


def write(name: str, kind: str, model: str, x: np.ndarray, answers: dict[str, np.ndarray]) -> None:
    case = {"format": kind, "model": model, "rows": [numbers(row) for row in x]}
    case |= {key: numbers(value) for key, value in answers.items()}
    (HERE / f"{name}.json").write_text(json.dumps(case) + "\n")


def xgb(name: str, label: str, categorical: bool = False, **parameters: object) -> None:
    x = rows(len(name))
    y = labels(x, label, 3)
    types = ["float"] * 3 + ["c" if categorical else "float"] + ["float"]
    make = lambda x, **more: xgboost.DMatrix(x, feature_names=list("abcde"), feature_types=types, enable_categorical=categorical, **more)
    data = make(x, label=y)
    if parameters.get("objective", "").startswith("rank"):
        data.set_group([20] * (ROWS // 20))
    defaults = {"max_depth": 4, "eta": 0.4, "nthread": 1, "tree_method": "hist", "max_cat_to_onehot": 4}
    booster = xgboost.train(defaults | parameters, data, num_boost_round=6)
    t = make(tested(x))
    answers = {
        "raw": booster.predict(t, output_margin=True),
        "predict": booster.predict(t),
        "leaves": booster.predict(t, pred_leaf=True),
        "contributions": booster.predict(t, pred_contribs=True),
    }
    for end, kind in (("json", "xgboost-json"), ("ubj", "xgboost-ubj")):
        booster.save_model(HERE / f"{name}.model.{end}")
        write(f"{name}_{end}", kind, f"{name}.model.{end}", tested(x).astype(np.float32).astype(np.float64), answers)


def lgb(name: str, label: str, categorical: bool = False, **parameters: object) -> None:
    x = rows(len(name))
    y = labels(x, label, 5)
    more = {"group": [20] * (ROWS // 20)} if "rank" in str(parameters.get("objective")) else {}
    data = lightgbm.Dataset(x, y, feature_name=list("abcde"), categorical_feature=[3] if categorical else [], **more)
    defaults = {"num_leaves": 12, "learning_rate": 0.4, "num_threads": 1, "verbose": -1, "min_data_in_leaf": 5, "deterministic": True}
    booster = lightgbm.train(defaults | parameters, data, num_boost_round=6)
    t = tested(x)
    answers = {
        "raw": booster.predict(t, raw_score=True),
        "predict": booster.predict(t),
        "leaves": booster.predict(t, pred_leaf=True),
        "contributions": booster.predict(t, pred_contrib=True),
    }
    booster.save_model(HERE / f"{name}.model.txt")
    write(name, "lightgbm", f"{name}.model.txt", t, answers)


def main() -> None:
    HERE.mkdir(exist_ok=True)
    xgb("xgb_binary", "binary", objective="binary:logistic")
    xgb("xgb_raw", "binary", objective="binary:logitraw", base_score=0.3)
    xgb("xgb_hinge", "binary", objective="binary:hinge")
    xgb("xgb_regression", "number", objective="reg:squarederror")
    xgb("xgb_categories", "binary", categorical=True, objective="binary:logistic")
    xgb("xgb_onehot", "binary", categorical=True, objective="binary:logistic", max_cat_to_onehot=100)
    xgb("xgb_softprob", "classes", objective="multi:softprob", num_class=3)
    xgb("xgb_softmax", "classes", objective="multi:softmax", num_class=3)
    xgb("xgb_poisson", "positive", objective="count:poisson")
    xgb("xgb_rank", "ranks", objective="rank:ndcg")
    xgb("xgb_dart", "binary", objective="binary:logistic", booster="dart", rate_drop=0.5, seed=3)
    xgb("xgb_forest", "binary", objective="binary:logistic", num_parallel_tree=3, subsample=0.7, seed=5)
    lgb("lgb_binary", "binary", objective="binary")
    lgb("lgb_sigmoid", "binary", objective="binary", sigmoid=0.7)
    lgb("lgb_zero", "binary", objective="binary", zero_as_missing=True)
    lgb("lgb_none", "binary", objective="binary", use_missing=False)
    lgb("lgb_categories", "binary", categorical=True, objective="binary", min_data_per_group=5, cat_smooth=1)
    lgb("lgb_multiclass", "classes", objective="multiclass", num_class=3)
    lgb("lgb_ova", "classes", objective="multiclassova", num_class=3)
    lgb("lgb_poisson", "positive", objective="poisson")
    lgb("lgb_sqrt", "positive", objective="regression", reg_sqrt=True)
    lgb("lgb_rank", "ranks", objective="lambdarank")
    lgb("lgb_forest", "binary", objective="binary", boosting="rf", bagging_freq=1, bagging_fraction=0.7)
    lgb("lgb_entropy", "binary", objective="cross_entropy")
    lgb("lgb_lambda", "binary", objective="cross_entropy_lambda")


if __name__ == "__main__":
    sys.exit(main())
