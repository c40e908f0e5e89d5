"""Makes the graphs of `fixtures/graph_*`, with what ONNX Runtime answers: python make_graphs.py, with scikit-learn, onnx, skl2onnx and
onnxruntime installed.

What scikit-learn's models become by skl2onnx, and networks as PyTorch and Keras export them, put together by hand. A case has the
rows, the answers in single or double precision, and how far from them others may be, since ONNX Runtime's bits differ by machine.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import AdaBoostClassifier, GradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVR, LinearSVC, OneClassSVM

HERE = Path(__file__).parent / "fixtures"
TESTED = 20


def numbers(values: np.ndarray) -> list:
    """The shortest text of each number, NaN as null."""
    return [None if np.isnan(v) else (v.item() if np.isfinite(v) else str(v)) for v in np.asarray(values).ravel()]


def write(name: str, model: onnx.ModelProto, x: np.ndarray, output: int = -1, second: bool = False, tolerance: float = 2e-6) -> None:
    """Writes a case; of a classifier of two the second's probability is wanted."""
    model.doc_string = model.producer_version = ""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    types = {"tensor(double)": np.float64, "tensor(float)": np.float32, "tensor(int64)": np.int64}
    given, first = {}, 0
    for i in session.get_inputs():
        # Fixed batches go row by row.
        width = 1 if len(i.shape) == 1 else int(np.prod(i.shape[1:]))
        part = x[:, first : first + width].astype(types[i.type])
        given[i.name] = part.reshape(-1) if len(i.shape) == 1 else part.reshape(len(x), *i.shape[1:])
        first += width
    assert first == x.shape[1], (name, first)
    fixed = any(i.shape[0] == 1 for i in session.get_inputs())
    parts = [slice(at, at + 1) for at in range(len(x))] if fixed else [slice(0, len(x))]
    answers = [session.run(None, {key: value[part] for key, value in given.items()})[output] for part in parts]
    if isinstance(answers[0], list):
        answers = [np.array([[row[key] for key in sorted(row)] for row in answer], np.float32) for answer in answers]
    answer = np.concatenate(answers)
    if second:
        assert answer.shape[1] == 2, (name, answer.shape)
        answer = answer[:, 1]
    rows = x.astype(np.float32).astype(np.float64) if TensorProto.FLOAT in {i.type.tensor_type.elem_type for i in model.graph.input} else x
    case = {"model": f"{name}.model.onnx", "double": answer.dtype == np.float64, "tolerance": tolerance}
    case |= {"rows": [numbers(row) for row in rows], "predict": numbers(answer)}
    (HERE / f"{name}.model.onnx").write_bytes(model.SerializeToString())
    (HERE / f"{name}.json").write_text(json.dumps(case) + "\n")


def scikit() -> None:
    dice = np.random.default_rng(1)
    x = np.round(dice.normal(0, 1.5, (400, 5)), 2).astype(np.float32)
    x[:, 3] = dice.integers(0, 7, 400)
    signal = x[:, 0] - x[:, 1] * x[:, 2] + (x[:, 3] % 3 < 1) + dice.normal(0, 0.5, 400)
    two, three, number = (signal > 0.5).astype(int), np.clip(np.floor(signal / 2 + 1), 0, 2).astype(int), signal
    t = x[:TESTED].copy()
    t[0] = 0
    t[1] = 100
    holes = t.copy()
    holes[3:8, :3] = np.nan

    def case(name: str, model: object, rows: np.ndarray = t, second: bool = False, tolerance: float = 2e-6, **more: object) -> None:
        write(f"graph_{name}", to_onnx(model, x[:1], **more), rows, second=second, tolerance=tolerance)

    case("logistic", LogisticRegression().fit(x, two), second=True)
    case("classes", LogisticRegression().fit(x, three))
    case("linear", LinearRegression().fit(x, number))
    case("poisson", PoissonRegressor().fit(x / 10, np.exp(np.clip(number, -2, 2))), t / 10)
    small = {"hidden_layer_sizes": (8, 5), "max_iter": 60, "random_state": 1}
    case("relu", MLPClassifier(**small).fit(x, two), second=True)
    case("tanh", MLPClassifier(activation="tanh", **small).fit(x, three))
    case("sigmoid", MLPRegressor(activation="logistic", **small).fit(x, number))
    scaled = make_pipeline(SimpleImputer(), StandardScaler(), MinMaxScaler(), RobustScaler(), Normalizer(), LogisticRegression())
    case("pipeline", scaled.fit(x, two), holes, second=True)
    case("norms", make_pipeline(Normalizer("l1"), Normalizer("max"), LinearRegression()).fit(x, number))
    case("scaled_forest", make_pipeline(StandardScaler(), RandomForestClassifier(3, max_depth=3, random_state=1)).fit(x, two), second=True)
    boosted = GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=1)
    case("scaled_boosting", make_pipeline(StandardScaler(), boosted).fit(x, two), second=True)
    case("calibrated", CalibratedClassifierCV(RandomForestClassifier(3, max_depth=2, random_state=1), cv=2).fit(x, two), second=True)
    case("calibrated_boosting", CalibratedClassifierCV(boosted, cv=2).fit(x, two), second=True)
    case("isolation", IsolationForest(n_estimators=3, max_samples=32, random_state=1).fit(x), target_opset={"": 18, "ai.onnx.ml": 3}, tolerance=1e-5)
    case("svr", SVR(C=0.1).fit(x[:60], number[:60]), tolerance=1e-5)
    case("one_class", OneClassSVM(nu=0.2, kernel="poly", degree=2, coef0=1.0).fit(x[:80] / 4), t / 4, tolerance=1e-5)
    case("margin", LinearSVC().fit(x, two))
    case("bayes", GaussianNB().fit(x, two), second=True, tolerance=1e-5)
    case("pca", make_pipeline(PCA(2), LogisticRegression()).fit(x, two), second=True)
    case("sgd", SGDClassifier(loss="log_loss", random_state=1).fit(x, three))
    case("polynomial", make_pipeline(PolynomialFeatures(2), LinearRegression()).fit(x, number), tolerance=1e-5)
    case("power", make_pipeline(PowerTransformer(), LogisticRegression()).fit(x, two), t / 2, second=True, tolerance=1e-5)
    case("adaboost", AdaBoostClassifier(n_estimators=3, random_state=1).fit(x, three), tolerance=1e-5)
    bins = KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
    case("bins", make_pipeline(bins, LogisticRegression()).fit(x, two), second=True)
    hot = make_pipeline(OneHotEncoder(handle_unknown="ignore", sparse_output=False), LogisticRegression())
    case("one_hot", hot.fit(np.round(x), two), np.round(t), second=True)
    doubles = make_pipeline(StandardScaler(), MLPRegressor(**small)).fit(x.astype(np.float64), number)
    write("graph_doubles", to_onnx(doubles, initial_types=[("X", DoubleTensorType([None, 5]))]), t.astype(np.float64), tolerance=1e-12)
    whole = make_pipeline(StandardScaler(), LogisticRegression()).fit(np.round(x), two)
    write("graph_whole", to_onnx(whole, initial_types=[("X", Int64TensorType([None, 5]))]), np.round(t).astype(np.float64), second=True)
    columns = ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", MinMaxScaler(), [2]), ("c", "passthrough", [3, 4])])
    apart = make_pipeline(columns, LogisticRegression()).fit(x, two)
    write("graph_columns", to_onnx(apart, initial_types=[(name, FloatTensorType([None, 1])) for name in "abcde"]), t, second=True)


def graph(name: str, nodes: list, weights: dict[str, np.ndarray], x: np.ndarray, output: str, inputs: dict | None = None, opset: int = 17, outputs: list | None = None, **more: object) -> None:
    """A graph put together by hand."""
    inputs = inputs or {"input": ["batch", x.shape[1]]}
    made = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, dims) for key, dims in inputs.items()],
        outputs or [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in weights.items()],
    )
    write(f"graph_{name}", helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), x, **more)


def networks() -> None:
    dice = np.random.default_rng(2)
    node = helper.make_node
    weight = lambda *dims: dice.normal(0, 0.5, dims).astype(np.float32)
    whole = lambda *values: np.array(values, np.int64)
    x = np.round(dice.normal(0, 1.5, (TESTED, 6)), 2).astype(np.float32)
    x[0], x[1] = 0, 30
    # nn.Sequential(Linear, BatchNorm1d, ReLU, Dropout, Linear, Sigmoid).
    layers = [
        node("Gemm", ["input", "0.weight", "0.bias"], ["/0/Gemm"], alpha=1.0, beta=1.0, transB=1),
        node("BatchNormalization", ["/0/Gemm", "1.weight", "1.bias", "1.mean", "1.var"], ["/1/Norm"], epsilon=1e-5, momentum=0.9),
        node("Relu", ["/1/Norm"], ["/2/Relu"]),
        node("Dropout", ["/2/Relu"], ["/3/Dropout"]),
        node("Gemm", ["/3/Dropout", "4.weight", "4.bias"], ["/4/Gemm"], alpha=1.0, beta=1.0, transB=1),
        node("Sigmoid", ["/4/Gemm"], ["output"]),
    ]
    values = {"0.weight": weight(9, 6), "0.bias": weight(9), "1.weight": weight(9), "1.bias": weight(9), "1.mean": weight(9)}
    values |= {"1.var": abs(weight(9)) + 0.1, "4.weight": weight(1, 9), "4.bias": weight(1)}
    graph("torch", layers, values, x, "output")
    # One row at a time, as exported without dynamic_axes; and its answer without the last axis.
    layers = [*layers[:-1], node("Sigmoid", ["/4/Gemm"], ["/5"]), node("Constant", [], ["axes"], value=numpy_helper.from_array(whole(1))), node("Squeeze", ["/5", "axes"], ["output"])]
    graph("batch_of_one", layers, values, x, "output", {"input": [1, 6]})
    # A transformer's block: GELU and layer normalisation, as one operator, and as older exports have them.
    values = {"w1": weight(6, 8), "b1": weight(8), "scale": weight(8), "shift": weight(8), "w2": weight(8, 3), "b2": weight(3)}
    first = [node("MatMul", ["input", "w1"], ["m"]), node("Add", ["m", "b1"], ["h"])]
    last = [node("MatMul", ["n", "w2"], ["m2"]), node("Add", ["b2", "m2"], ["logits"]), node("Softmax", ["logits"], ["output"], axis=-1)]
    norm = [node("Gelu", ["h"], ["g"]), node("LayerNormalization", ["g", "scale", "shift"], ["n"], axis=-1, epsilon=1e-5)]
    graph("layers", first + norm + last, values, x, "output", opset=20)
    constants = {"two": np.float32(2), "root2": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5), "eps": np.float32(1e-5)}
    older = [
        node("Div", ["h", "root2"], ["h1"]),
        node("Erf", ["h1"], ["h2"]),
        node("Add", ["h2", "one"], ["h3"]),
        node("Mul", ["h", "h3"], ["h4"]),
        node("Mul", ["h4", "half"], ["g"]),
        node("ReduceMean", ["g"], ["mean"], axes=[-1], keepdims=1),
        node("Sub", ["g", "mean"], ["apart"]),
        node("Pow", ["apart", "two"], ["square"]),
        node("ReduceMean", ["square"], ["variance"], axes=[-1], keepdims=1),
        node("Add", ["variance", "eps"], ["safe"]),
        node("Sqrt", ["safe"], ["deviation"]),
        node("Div", ["apart", "deviation"], ["n0"]),
        node("Mul", ["n0", "scale"], ["n1"]),
        node("Add", ["n1", "shift"], ["n"]),
    ]
    last[-1] = node("LogSoftmax", ["logits"], ["output"], axis=1)
    graph("layers_apart", first + older + last, values | constants, x, "output", opset=11)
    # An autoencoder: what it makes of a row, and how far that is from the row.
    values = {"e.w": weight(3, 6), "e.b": weight(3), "d.w": weight(6, 3), "d.b": weight(6), "two": np.float32(2)}
    layers = [
        node("Gemm", ["input", "e.w", "e.b"], ["e"], transB=1),
        node("Tanh", ["e"], ["code"]),
        node("Gemm", ["code", "d.w", "d.b"], ["again"], transB=1, alpha=0.5, beta=2.0),
        node("Sub", ["input", "again"], ["off"]),
        node("Pow", ["off", "two"], ["square"]),
        node("ReduceMean", ["square"], ["error"], axes=[1], keepdims=0),
    ]
    graph("autoencoder", layers, values, x, "error")
    graph("rebuilt", layers[:3], values, x, "again")
    # x.view(x.size(0), 2, 3), a turn, and back: the number of rows is in the shapes.
    layers = [
        node("Shape", ["input"], ["s"]),
        node("Gather", ["s", "zero"], ["rows"], axis=0),
        node("Unsqueeze", ["rows", "axis0"], ["rows1"]),
        node("Concat", ["rows1", "two_three"], ["to"], axis=0),
        node("Reshape", ["input", "to"], ["cube"]),
        node("Transpose", ["cube"], ["turned"], perm=[0, 2, 1]),
        node("ReduceMax", ["turned"], ["most"], axes=[2], keepdims=0),
        node("Flatten", ["turned"], ["flat"], axis=1),
        node("Slice", ["flat", "from", "till", "axis1", "step"], ["some"]),
        node("Split", ["flat", "parts"], ["left", "right"], axis=1),
        node("Concat", ["some", "most", "left", "right"], ["all"], axis=-1),
        node("MatMul", ["all", "w"], ["output"]),
    ]
    values = {"zero": np.int64(0), "axis0": whole(0), "axis1": whole(1), "two_three": whole(2, 3), "from": whole(-1), "till": whole(-100), "step": whole(-2)}
    graph("views", layers, values | {"parts": whole(2, 4), "w": weight(12, 2)}, x, "output")
    # Keras: a matrix, a bias, an activation; two inputs of several columns; and what is chosen.
    layers = [
        node("Concat", ["amounts", "counts"], ["all"], axis=1),
        node("MatMul", ["all", "k1"], ["m"]),
        node("Add", ["m", "b1"], ["h"]),
        node("Elu", ["h"], ["a"], alpha=1.0),
        node("MatMul", ["a", "k2"], ["m2"]),
        node("Add", ["m2", "b2"], ["z"]),
        node("Greater", ["z", "zero"], ["is"]),
        node("Not", ["is"], ["no"]),
        node("Softplus", ["z"], ["soft"]),
        node("Where", ["no", "soft", "z"], ["w"]),
        node("Clip", ["w", "zero", "ten"], ["output"]),
    ]
    values = {"k1": weight(6, 7), "b1": weight(7), "k2": weight(7, 2), "b2": weight(2), "zero": np.float32(0), "ten": np.float32(10)}
    graph("keras", layers, values, x, "output", {"amounts": [None, 4], "counts": [None, 2]})
    named = [node("Unsqueeze", [name, "axis1"], [f"{name}1"]) for name in "uvw"]
    layers = [*named, node("Concat", ["u1", "v1", "w1"], ["all"], axis=1), node("Gemm", ["all", "w0", "b0"], ["output"])]
    graph("named", layers, {"axis1": whole(1), "w0": weight(3, 2), "b0": weight(1, 2)}, x[:, :3], "output", {name: [None] for name in "uvw"})
    # Every function, over a few numbers of every size.
    functions = ["Abs", "Ceil", "Celu", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tanh", "ThresholdedRelu"]
    layers = [node(name, ["input"], [name]) for name in functions]
    layers += [node("Gelu", ["input"], ["GeluTanh"], approximate="tanh"), node("Elu", ["input"], ["Elu2"], alpha=0.3), node("LeakyRelu", ["input"], ["Leaky2"], alpha=0.2)]
    layers += [node("Sqrt", ["Abs"], ["Sqrt"]), node("Log", ["Abs"], ["Log"]), node("Pow", ["Abs", "power"], ["Pow"]), node("PRelu", ["input", "slope"], ["PRelu"])]
    layers += [node("Max", ["input", "slope"], ["Max"]), node("Min", ["input", "slope", "Abs"], ["Min"]), node("Mean", ["input", "Abs"], ["Mean"])]
    made = [layer.output[0] for layer in layers]
    sizes = np.array([[0.3, -0.3], [1.5, -1.5], [2.5, -2.5], [9.25, -9.25], [1e-3, -1e-3], [20, -20], [0.75, -80], [1e-7, -1e-7]], np.float32)
    layers.append(node("Concat", made, ["output"], axis=1))
    graph("functions", layers, {"power": np.float32(1.7), "slope": np.array([0.25, -0.5], np.float32)}, sizes, "output", opset=20, tolerance=1e-5)
    # Every fold.
    folds = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"]
    layers = [node("Reshape", ["input", "to"], ["cube"])]
    layers += [node(name, ["cube", "axis1"], [name], keepdims=0) for name in folds]
    layers += [node("Softmax", ["cube"], ["soft"], axis=1), node("Flatten", ["soft"], ["Softmax"]), node("ArgMax", ["cube"], ["best"], axis=2, keepdims=0), node("Cast", ["best"], ["ArgMax"], to=TensorProto.FLOAT)]
    layers.append(node("Concat", [*folds, "Softmax", "ArgMax"], ["output"], axis=1))
    graph("folds", layers, {"to": whole(0, 2, -1), "axis1": whole(1)}, x[:12], "output", opset=18, tolerance=1e-5)


def main() -> None:
    warnings.simplefilter("ignore")
    scikit()
    networks()


if __name__ == "__main__":
    sys.exit(main())
