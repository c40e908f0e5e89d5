"""Makes the models of `fixtures/`, with what their libraries answer: python make.py, with xgboost-cpu, lightgbm, scikit-learn, onnx,
onnxmltools, skl2onnx and onnxruntime installed.

Small models of every kind over made-up rows: numbers with missing values and infinities, ties with thresholds, categories that
training has not seen. `fixtures/NAME.json` has the rows and the answers, `fixtures/NAME.model.*` the models.
"""

import json
import sys
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import onnxruntime
import xgboost
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloats
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.pipeline import make_pipeline

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


def run(model: onnx.ModelProto, x: np.ndarray, second: bool) -> np.ndarray:
    """What ONNX Runtime answers: scores, of two classes those of the second if they are wanted alone."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    types = {"tensor(double)": np.float64, "tensor(float)": np.float32, "tensor(int64)": np.int64}
    inputs = session.get_inputs()
    given = {i.name: (x if len(inputs) == 1 else x[:, [at]]).astype(types[i.type]) for at, i in enumerate(inputs)}
    answer = session.run(None, given)[-1]
    return answer[:, 1] if second and answer.shape[1] == 2 else answer


def untransformed(model: onnx.ModelProto) -> onnx.ModelProto:
    raw = onnx.ModelProto()
    raw.CopyFrom(model)
    for node in raw.graph.node:
        for attribute in node.attribute:
            if attribute.name == "post_transform":
                attribute.CopyFrom(helper.make_attribute(attribute.name, "NONE" if attribute.type == onnx.AttributeProto.STRING else 0))
    return raw


def ml(name: str, model: onnx.ModelProto, x: np.ndarray) -> None:
    model.doc_string = model.producer_version = ""
    (HERE / f"{name}.model.onnx").write_bytes(model.SerializeToString())
    attributes = [attribute for node in model.graph.node if node.op_type == "TreeEnsembleClassifier" for attribute in node.attribute]
    has_two_sums = any(1 in attribute.ints for attribute in attributes if attribute.name == "class_ids")
    raw, predict = run(untransformed(model), x, bool(attributes) and not has_two_sums), run(model, x, bool(attributes))
    write(name, "onnx", f"{name}.model.onnx", x, {"raw": raw, "predict": predict})


def trees(name: str, operator: str, version: int = 1, given: int = TensorProto.FLOAT, **attributes: object) -> None:
    """A graph of one operator, over the odd rows too."""
    x = tested(rows(len(name)))
    if given == TensorProto.INT64:
        x = np.clip(np.nan_to_num(np.trunc(x)), -1e9, 1e9)
    outputs = ["label", "scores"] if operator.endswith("Classifier") else ["scores"]
    if operator == "TreeEnsemble":
        x[:, 3] = np.trunc(x[:, 3])  # ONNX Runtime 1.31 cuts fractions off before it looks into a set; the standard does not
    answers = TensorProto.DOUBLE if operator == "TreeEnsemble" and given == TensorProto.DOUBLE else TensorProto.FLOAT
    types = {"label": TensorProto.INT64, "scores": answers}
    graph = helper.make_graph(
        [helper.make_node(operator, ["X"], outputs, domain="ai.onnx.ml", **attributes)],
        "trees",
        [helper.make_tensor_value_info("X", given, [None, 5])],
        [helper.make_tensor_value_info(output, types[output], None) for output in outputs],
    )
    sets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", version)]
    ml(name, helper.make_model(graph, opset_imports=sets, ir_version=10), x)


def forest(seed: int, sums: int, prefix: str, modes: list[str], trees: int = 5, depth: int = 3, doubles: bool = False) -> dict[str, object]:
    """Whole trees with every mode, thresholds among the rows' values, and some leaves with several votes."""
    dice = np.random.default_rng(seed)
    keys = ["treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids", "missing_value_tracks_true"]
    nodes: dict[str, list] = {key: [] for key in keys}
    votes: dict[str, list] = {key: [] for key in ["treeids", "nodeids", "ids", "weights"]}
    for tree in range(trees):
        for node in range(2 ** (depth + 1) - 1):
            leaf = node >= 2**depth - 1
            feature = int(dice.integers(0, 5))
            value = float(dice.integers(0, 70)) if feature == 3 else float(dice.choice([0.0, np.round(dice.normal(0, 2), 1)]))
            mode = "LEAF" if leaf else str(dice.choice(modes))
            ways = (0, 0) if leaf else (2 * node + 1, 2 * node + 2)
            row = [tree, node, 0 if leaf else feature, 0.0 if leaf else value, mode, *ways, int(dice.random() < 0.5)]
            for key, item in zip(keys, row):
                nodes[key].append(item)
            for of in range(sums) if leaf and sums > 1 else [0] * leaf:
                for key, item in zip(votes, [tree, node, of, float(dice.normal())]):
                    votes[key].append(item)
    attributes: dict[str, object] = {f"nodes_{key}": values for key, values in nodes.items()}
    attributes |= {f"{prefix}_{key}": values for key, values in votes.items()}
    if doubles:
        for key in ("nodes_values", f"{prefix}_weights"):
            attributes[f"{key}_as_tensor"] = numpy_helper.from_array(np.array(attributes.pop(key), np.float64), key)
    return attributes


def ensemble(name: str, given: int, **more: object) -> None:
    """`TreeEnsemble`: two trees, one of them a leaf, with sets of values."""
    number = np.float64 if given == TensorProto.DOUBLE else np.float32
    tensor = lambda key, values, kind=number: numpy_helper.from_array(np.array(values, kind), key)
    trees(
        name,
        "TreeEnsemble",
        5,
        given,
        n_targets=2,
        tree_roots=[0, 5],
        nodes_featureids=[3, 0, 1, 3, 2, 0],
        nodes_modes=tensor("nodes_modes", [6, 0, 5, 6, 2, 0], np.uint8),
        nodes_splits=tensor("nodes_splits", [0, 0.3, -0.2, 0, 1.1, 0]),
        nodes_truenodeids=[1, 3, 0, 1, 2, 6],
        nodes_trueleafs=[0, 0, 1, 1, 1, 1],
        nodes_falsenodeids=[2, 4, 3, 4, 5, 6],
        nodes_falseleafs=[0, 0, 1, 1, 1, 1],
        nodes_missing_value_tracks_true=[1, 0, 1, 0, 1, 0],
        membership_values=tensor("membership_values", [*range(0, 60, 2), np.nan, 4.0, 8.0, 31.0]),
        leaf_targetids=[0, 1, 0, 1, 0, 1, 1],
        leaf_weights=tensor("leaf_weights", [0.1, 0.7, -0.3, 1.3, 2.1, -0.9, 0.05]),
        **more,
    )


def onnx_files() -> None:
    exact = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
    for mode in exact:
        trees(f"onnx_{mode[7:].lower()}", "TreeEnsembleRegressor", n_targets=1, **forest(len(mode), 1, "target", [mode]))
    trees("onnx_modes", "TreeEnsembleRegressor", n_targets=1, base_values=[0.3], **forest(2, 1, "target", exact))
    for fold in ("AVERAGE", "MIN", "MAX"):
        trees(f"onnx_{fold.lower()}", "TreeEnsembleRegressor", n_targets=2, base_values=[0.3, -1.7], aggregate_function=fold, **forest(3, 2, "target", exact[:4]))
    for transform in ("LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"):
        parts = forest(4, 3, "class", exact[:2])
        if transform == "PROBIT":
            parts["class_weights"] = [0.19 * abs(np.sin(weight)) for weight in parts["class_weights"]]
        trees(f"onnx_{transform.lower()}", "TreeEnsembleClassifier", post_transform=transform, classlabels_int64s=[1, 2, 3], base_values=[0.01, 0.02, 0.03], **parts)
    two = forest(5, 2, "class", ["BRANCH_LT"])
    trees("onnx_two", "TreeEnsembleClassifier", post_transform="SOFTMAX", classlabels_int64s=[0, 1], **two)
    one = forest(6, 1, "class", ["BRANCH_LT"])
    trees("onnx_one", "TreeEnsembleClassifier", post_transform="LOGISTIC", classlabels_int64s=[0, 1], base_values=[-0.4], **one)
    trees("onnx_ints", "TreeEnsembleClassifier", 3, TensorProto.INT64, classlabels_int64s=[1, 2, 3], **forest(7, 3, "class", exact))
    trees("onnx_doubles", "TreeEnsembleRegressor", 3, TensorProto.DOUBLE, n_targets=1, **forest(8, 1, "target", exact, doubles=True))
    trees("onnx_deep", "TreeEnsembleRegressor", n_targets=1, **forest(9, 1, "target", ["BRANCH_LEQ"], trees=3, depth=7))
    ensemble("onnx_five", TensorProto.FLOAT, aggregate_function=1)
    ensemble("onnx_five_doubles", TensorProto.DOUBLE, aggregate_function=0)
    # What exporters write.
    x = rows(3)
    filled = np.nan_to_num(x).astype(np.float32)
    t = np.nan_to_num(tested(x).astype(np.float32))
    binary, classes = labels(x, "binary", 3), labels(x, "classes", 3)
    number = labels(x, "number", 3)
    floats = [("input", ToolsFloats([None, 5]))]
    boosted = {"n_estimators": 5, "max_depth": 3, "n_jobs": 1}
    ml("onnx_xgboost", convert_xgboost(xgboost.XGBClassifier(**boosted).fit(x, binary), initial_types=floats), tested(x).astype(np.float32))
    ml("onnx_xgboost_classes", convert_xgboost(xgboost.XGBClassifier(**boosted).fit(x, classes), initial_types=floats), tested(x).astype(np.float32))
    ml("onnx_xgboost_number", convert_xgboost(xgboost.XGBRegressor(**boosted).fit(x, number), initial_types=floats), tested(x).astype(np.float32))
    ml("onnx_lightgbm", convert_lightgbm(lightgbm.LGBMClassifier(**boosted, verbose=-1).fit(x, binary), initial_types=floats, zipmap=False), tested(x).astype(np.float32))
    ml("onnx_forest", to_onnx(RandomForestClassifier(4, max_depth=3, random_state=1).fit(filled, classes), filled[:1], options={"zipmap": False}), t)
    apart, boosting = ColumnTransformer([("all", "passthrough", list(range(5)))]), GradientBoostingRegressor(n_estimators=5, random_state=1)
    columns = [(name, FloatTensorType([None, 1])) for name in "abcde"]
    ml("onnx_columns", to_onnx(make_pipeline(apart, boosting).fit(filled, number), initial_types=columns), t)
    single = onnx.load(HERE / "onnx_modes.model.onnx")
    single.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    single.graph.node[0].input[0], single.graph.node[0].output[0] = "narrow", "sums"
    single.graph.node.insert(0, helper.make_node("Cast", ["X"], ["narrow"], to=TensorProto.FLOAT))
    single.graph.node.append(helper.make_node("Identity", ["sums"], ["scores"]))
    ml("onnx_cast", single, tested(x))


def main() -> None:
    onnx_files()
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
