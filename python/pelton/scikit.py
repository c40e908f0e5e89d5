"""Tree ensembles of scikit-learn in the form of LightGBM's files, which the engine reads.

Both go to the left where a value is at most the threshold, and add doubles in the order of the trees. Where scikit-learn first
rounds a value to 32 bits, the threshold becomes the greatest double that is rounded to one at most: every value goes where it went.
So sums are the library's own, to the bit, and so is what follows from them but for `exp`: numpy's of several classes, and of Poisson
and gamma losses, may be a few ulps off.
"""

from __future__ import annotations

from typing import Any

from pelton.errors import InputError

#: What the estimators of one kind are called, with those above them.
AVERAGED = {"RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"}
SINGLE = {"DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"}
BOOSTED = {"GradientBoostingClassifier", "GradientBoostingRegressor"}
HISTOGRAM = {"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"}


def is_known(model: Any) -> bool:
    """True for the tree ensembles of scikit-learn."""
    kind = type(model)
    return kind.__module__.startswith("sklearn.") and kind.__name__ in AVERAGED | SINGLE | BOOSTED | HISTOGRAM


def model_text(model: Any) -> str:
    """A fitted ensemble as a file of LightGBM.

    A regressor answers what its `predict` does; a classifier of two classes the probability of the second, of more classes those of all.
    """
    kind = type(model).__name__
    if not hasattr(model, "n_features_in_"):
        raise InputError(f"this {kind} has not been fitted")
    if getattr(model, "n_outputs_", 1) != 1:
        raise InputError(f"this {kind} has {model.n_outputs_} outputs, and one is wanted")
    if kind in HISTOGRAM:
        objective, start, rows = _histogram(model)
    elif kind in BOOSTED:
        objective, start, rows = _boosted(model)
    else:
        objective, start, rows = _averaged(model, [model] if kind in SINGLE else model.estimators_)
    sums = len(rows[0])
    trees = ([[_constant(value) for value in start]] if any(start) else []) + rows
    names = [str(name) for name in getattr(model, "feature_names_in_", ())]
    if any(not name or name.split() != [name] for name in names):
        names = []
    header = ["tree", "version=v4", f"num_class={sums}", f"num_tree_per_iteration={sums}", "label_index=0"]
    header += [f"max_feature_idx={model.n_features_in_ - 1}", f"objective={objective}"]
    header += ["average_output"] if kind in AVERAGED else []
    header += [f"feature_names={' '.join(names)}"]
    numbered = (f"Tree={at}\n{tree}" for at, tree in enumerate(tree for row in trees for tree in row))
    return "\n".join(header) + "\n\n" + "\n\n".join(numbered) + "\n\nend of trees\n"


def _averaged(model: Any, estimators: Any) -> tuple[str, list[float], list[list[str]]]:
    """Trees with one value or one share of each class a leaf."""
    classes = getattr(model, "n_classes_", 1)
    wanted = [0] if classes == 1 else [1] if classes == 2 else range(classes)
    return "regression", [], [[_tree(e.tree_, e.tree_.value[:, 0, c]) for c in wanted] for e in estimators]


def _boosted(model: Any) -> tuple[str, list[float], list[list[str]]]:
    """Trees that are scaled and added to what the first estimator says of every row."""
    import numpy as np

    if type(model.init_).__name__ not in ("str", "DummyClassifier", "DummyRegressor"):
        raise InputError(f"this {type(model).__name__} begins with {type(model.init_).__name__}, which says something else of each row")
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))[0].tolist()
    rows = [[_tree(e.tree_, model.learning_rate * e.tree_.value[:, 0, 0]) for e in row] for row in model.estimators_]
    if not hasattr(model, "classes_"):
        return "regression", start, rows
    if len(start) > 1:
        return f"multiclass num_class:{len(start)}", start, rows
    return f"binary sigmoid:{2 if model.loss == 'exponential' else 1}", start, rows


def _histogram(model: Any) -> tuple[str, list[float], list[list[str]]]:
    """Trees over doubles as they are, in which a missing value has its side."""
    start = model._baseline_prediction.ravel().tolist()
    rows = [[_histogram_tree(predictor.nodes) for predictor in row] for row in model._predictors]
    if not rows:
        rows = [[_constant(0.0) for _ in start]]
    if not hasattr(model, "classes_"):
        return ("poisson" if model.loss in ("poisson", "gamma") else "regression"), start, rows
    return (f"multiclass num_class:{len(start)}" if len(start) > 1 else "binary sigmoid:1"), start, rows


def _tree(tree: Any, values: Any) -> str:
    """A tree of `sklearn.tree`; `values` is what each of its nodes would add as a leaf."""
    missing = getattr(tree, "missing_go_to_left", None)
    return _text(
        tree.children_left,
        tree.children_right,
        tree.feature,
        _rounding_below(tree.threshold),
        missing if missing is not None else tree.children_left * 0,
        values,
        tree.weighted_n_node_samples,
    )


def _histogram_tree(nodes: Any) -> str:
    """A tree of `sklearn.ensemble._hist_gradient_boosting`."""
    import numpy as np

    if nodes["is_categorical"].any():
        raise InputError("trees that ask for categories cannot be read from scikit-learn: fit without categorical_features")
    is_leaf = nodes["is_leaf"].astype(bool)
    return _text(
        np.where(is_leaf, -1, nodes["left"].astype(np.int64)),
        np.where(is_leaf, -1, nodes["right"].astype(np.int64)),
        nodes["feature_idx"],
        nodes["num_threshold"],
        nodes["missing_go_to_left"],
        nodes["value"],
        nodes["count"],
    )


def _rounding_below(thresholds: Any) -> Any:
    """For each threshold the greatest double that, rounded to 32 bits, is at most the threshold."""
    import numpy as np

    single = np.finfo(np.float32)
    with np.errstate(over="ignore"):
        below = np.clip(thresholds, single.min, single.max).astype(np.float32)
        below = np.where(below > thresholds, np.nextafter(below, np.float32(-np.inf)), below)
        above = np.nextafter(below, np.float32(np.inf)).astype(np.float64)
        # Half way to the next one; beyond the greatest there would be 2^128.
        half = (below.astype(np.float64) + np.where(np.isinf(above), 2.0**128, above)) / 2
        return np.where(half.astype(np.float32) == below, half, np.nextafter(half, -np.inf))


def _constant(value: float) -> str:
    return f"num_leaves=1\nnum_cat=0\nleaf_value={value!r}"


def _text(lefts: Any, rights: Any, features: Any, thresholds: Any, missing_left: Any, values: Any, covers: Any) -> str:
    """A tree, inner nodes and leaves numbered by themselves; children below 0 are leaves."""
    is_leaf = lefts < 0
    leaves, inner = is_leaf.nonzero()[0], (~is_leaf).nonzero()[0]
    if len(inner) == 0:
        return _constant(float(values[0]))
    number = is_leaf.astype("int64")
    number[leaves] = [-1 - at for at in range(len(leaves))]
    number[inner] = range(len(inner))

    def line(key: str, numbers: Any) -> str:
        return f"{key}={' '.join(map(repr, numbers.tolist()))}"

    return "\n".join(
        [
            f"num_leaves={len(leaves)}",
            "num_cat=0",
            line("split_feature", features[inner]),
            line("threshold", thresholds[inner]),
            # A number, for which NaN is missing (8) and goes to the left (2) or not.
            line("decision_type", 8 + 2 * missing_left[inner].astype("int64")),
            line("left_child", number[lefts[inner]]),
            line("right_child", number[rights[inner]]),
            line("leaf_value", values[leaves]),
            line("leaf_count", covers[leaves]),
            line("internal_count", covers[inner]),
        ]
    )
