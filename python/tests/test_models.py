"""Models of XGBoost, LightGBM and scikit-learn, straight from their libraries."""

import os

# Libraries that share these cores with others wait for each other in loops.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb
from sklearn import ensemble, tree

import pelton
from pelton.scikit import _rounding_below

FEATURES = ["a", "b", "c"]
QUERY = "SELECT PREDICT(model, a, b, c) AS score FROM t"


@pytest.fixture(scope="module")
def rows():
    dice = np.random.default_rng(7)
    x = dice.normal(size=(2000, 3)).astype(np.float32)
    x[dice.random(x.shape) < 0.05] = np.nan
    return x, (np.nan_to_num(x).sum(axis=1) + dice.normal(size=2000) > 0).astype(int)


def scores(session, x, model):
    session.register("t", {name: pa.array(x[:, i].astype(np.float64), from_pandas=True) for i, name in enumerate(FEATURES)})
    session.register_model("model", model)
    return session.sql(QUERY).to_arrow()["score"].to_numpy()


def test_xgboost(session, rows, tmp_path):
    x, y = rows
    matrix = xgb.DMatrix(x, y, feature_names=FEATURES)
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 4}, matrix, 20)
    wanted = booster.predict(matrix)
    got = scores(session, x, booster)
    # The sums are the library's; its `expf`, which is not rounded correctly, may be off in the last bits.
    sums = session.sql(QUERY.replace("PREDICT", "PREDICT_RAW")).to_arrow()["score"].to_numpy()
    assert np.array_equal(sums, booster.predict(matrix, output_margin=True))
    assert np.all(np.abs(got - wanted) <= 2 * np.spacing(wanted))
    booster.save_model(tmp_path / "m.json")
    assert np.array_equal(scores(session, x, tmp_path / "m.json"), got)
    assert np.array_equal(scores(session, x, (tmp_path / "m.json").read_bytes()), got)
    fitted = xgb.XGBRegressor(n_estimators=10, max_depth=3).fit(x, y)
    assert np.array_equal(scores(session, x, fitted), fitted.predict(x))


def test_lightgbm(session, rows):
    x, y = rows
    data = lgb.Dataset(x.astype(np.float64), y, feature_name=FEATURES, params={"verbose": -1})
    booster = lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 20)
    assert np.array_equal(scores(session, x, booster), booster.predict(x.astype(np.float64)))
    fitted = lgb.LGBMRegressor(n_estimators=5, verbose=-1).fit(x.astype(np.float64), y)
    assert np.array_equal(scores(session, x, fitted), fitted.booster_.predict(x.astype(np.float64)))


EXACT = [
    tree.DecisionTreeClassifier(max_depth=6),
    tree.DecisionTreeRegressor(),
    tree.ExtraTreeRegressor(max_depth=9),
    ensemble.RandomForestClassifier(20, max_depth=8),
    ensemble.RandomForestRegressor(20),
    ensemble.ExtraTreesClassifier(20, max_depth=5),
    ensemble.ExtraTreesRegressor(20, max_depth=5),
    ensemble.GradientBoostingClassifier(n_estimators=20),
    ensemble.GradientBoostingClassifier(n_estimators=20, loss="exponential"),
    ensemble.GradientBoostingRegressor(n_estimators=20),
    ensemble.GradientBoostingRegressor(n_estimators=5, init="zero", max_depth=1),
    ensemble.HistGradientBoostingClassifier(max_iter=20),
    ensemble.HistGradientBoostingRegressor(max_iter=20),
]
#: They take missing values as they are.
HOLES = ("Hist", "RandomForest", "DecisionTree", "ExtraTree")


@pytest.mark.parametrize("model", EXACT, ids=lambda model: type(model).__name__)
def test_scikit_learn_to_the_bit(session, rows, model):
    x, y = rows
    # Doubles that are no floats: scikit-learn rounds them, or does not.
    x = x.astype(np.float64) + 1e-9
    if not type(model).__name__.startswith(HOLES):
        x = np.nan_to_num(x)
    model = model.set_params(random_state=3) if "random_state" in model.get_params() else model
    model.fit(x, y)
    wanted = model.predict_proba(x)[:, 1] if hasattr(model, "classes_") else model.predict(x)
    assert np.array_equal(scores(session, x, model), wanted)


@pytest.mark.parametrize(
    ("model", "ulps"),
    [
        (ensemble.RandomForestClassifier(10, max_depth=4), 0),
        (ensemble.GradientBoostingClassifier(n_estimators=10), 4),
        (ensemble.HistGradientBoostingClassifier(max_iter=10), 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_several_classes_of_scikit_learn(session, rows, model, ulps):
    x = np.nan_to_num(rows[0])
    classes = np.digitize(x.sum(axis=1), [-1, 1])
    model.set_params(random_state=3).fit(x, classes)
    got = np.array(scores(session, x, model).tolist())
    wanted = model.predict_proba(x)
    assert got.shape == wanted.shape
    assert np.all(np.abs(got - wanted) <= ulps * np.spacing(wanted))


def test_thresholds_stand_where_rounding_turns():
    dice = np.random.default_rng(5)
    odd = [0.0, 1e-46, -1e-46, 3.4e38, 1e39, -1e39]
    thresholds = np.concatenate([dice.normal(size=1000), dice.normal(size=1000).astype(np.float32), odd])
    turns = _rounding_below(thresholds)
    with np.errstate(over="ignore"):
        finite = np.abs(thresholds) < 3.4e38
        assert np.all((turns.astype(np.float32) <= thresholds)[finite])
        assert np.all((np.nextafter(turns, np.inf).astype(np.float32) > thresholds)[finite])


def test_what_scikit_learn_cannot_give(session, rows):
    x, y = np.nan_to_num(rows[0]), rows[1]
    for model, why in [
        (ensemble.RandomForestClassifier(), "has not been fitted"),
        (ensemble.RandomForestRegressor(2).fit(x, np.stack([y, y], axis=1)), "has 2 outputs"),
        (ensemble.HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]).fit(np.abs(x).astype(int), y), "ask for categories"),
        (
            ensemble.GradientBoostingRegressor(n_estimators=2, init=tree.DecisionTreeRegressor()).fit(x, y),
            "begins with DecisionTreeRegressor",
        ),
        (ensemble.IsolationForest(n_estimators=2).fit(x), "is no model that can be scored"),
    ]:
        with pytest.raises(pelton.InputError, match=why):
            session.register_model("model", model)


def test_what_is_no_model(session):
    for model, why in [
        (b"junk", "these bytes are no file of XGBoost, LightGBM or ONNX"),
        ("no-such-file.json", "cannot read the model 'no-such-file.json'"),
        (object(), "is no model that can be scored"),
    ]:
        with pytest.raises(pelton.InputError, match=why):
            session.register_model("model", model)
    with pytest.raises(pelton.SqlError, match="unknown model `model`"):
        session.sql("SELECT PREDICT(model, 1) AS score")
