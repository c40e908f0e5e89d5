"""PREDICT beside XGBoost, LightGBM and ONNX Runtime: `./x bench scoring`.

usage: scoring.py [--rows N] [--rounds N]

The fraud models of `PELTON_DATA` (200 trees of depth 6, 30 features) over made-up rows, one thread each, taking turns. Rates are rows per
second of the process's own processor time. Pelton's run is whole: it starts, plans, decodes raw Parquet and adds the scores up. The libraries
are given arrays in memory, as each likes them best, and only `predict` is measured. Every raw sum must be the library's, bit for bit, and every
score of LightGBM; those of XGBoost but for two last places, since its `exp` is rounded correctly here, and in C libraries all but one in
some thousand times.

Of the ONNX file the scores alone are compared, in the same way: ONNX Runtime says no raw sums.

Beside that, graphs that are no trees (a network of 30, 64, 32 and 1, a logistic regression): 4,096 rows at a time, both from memory, answers
within 2e-6. Wanted is ONNX Runtime's rate, though no product is fused with a sum here.

Bar (issue 6): three times the best of XGBoost and ONNX Runtime for the XGBoost model, of LightGBM for its own, and of ONNX Runtime for its.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost
from onnx import TensorProto, helper, numpy_helper

PELTON = os.environ["PELTON"]
ROOT = Path(__file__).parent.parent
MODELS = (ROOT / os.environ.get("PELTON_DATA", "../shared/data")).resolve() / "models"
BAR = 3.0


def features() -> list[str]:
    return json.loads((MODELS / "manifest.json").read_text())["features"]


def rows(count: int) -> np.ndarray:
    """Values about where the models have their thresholds, some of them missing."""
    table = pq.read_table(MODELS / "reference_1000.parquet")
    reference = np.column_stack([table[feature].to_numpy() for feature in features()])
    dice = np.random.default_rng(7)
    made = reference[dice.integers(0, len(reference), (count, 1)), np.arange(reference.shape[1])]
    made *= dice.choice([0.5, 1.0, 2.0], made.shape)
    return made


def pelton(folder: Path, model: str, out: str | None) -> float:
    """Seconds of processor time of a run that scores all rows; with `out` raw sums and scores are written there."""
    given = ", ".join(features())
    what = f"id, PREDICT_RAW(m, {given}) AS raw, PREDICT(m, {given}) AS score" if out else f"COUNT(*) AS n, SUM(PREDICT(m, {given})) AS total"
    sink = f"'connector' = 'filesystem', 'path' = '{out}', 'sink.mode' = 'overwrite'" if out else "'connector' = 'blackhole'"
    (folder / "q.sql").write_text(
        f"CREATE MODEL m WITH ('path' = '{MODELS / model}');\n"
        "CREATE TABLE payments WITH ('connector' = 'filesystem', 'path' = 'rows.parquet');\n"
        f"CREATE TABLE scores WITH ({sink}) AS SELECT {what} FROM payments;\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([PELTON, "run", "--json", "--threads", "1", "q.sql"], cwd=folder, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def check(folder: Path, model: str, raw: np.ndarray | None, scores: np.ndarray) -> str:
    """Fails unless Pelton's answers are these; says how near they are."""
    pelton(folder, model, "scores.parquet")
    table = pq.read_table(folder / "scores.parquet").sort_by("id")
    wrong = 0 if raw is None else int(np.sum(table["raw"].to_numpy() != raw))
    got = table["score"].to_numpy()
    # ONNX Runtime takes small probabilities from 1, so they have the last places of that.
    place = np.spacing(scores if raw is not None else np.maximum(scores, 1 - scores))
    far = int(np.sum(np.abs(got - scores) > 2 * place))
    if wrong or far:
        sys.exit(f"{model}: {wrong} of {len(scores)} raw sums are not the library's, {far} scores more than two last places off")
    raws = "" if raw is None else "all raw sums the library's, "
    return f"{raws}all scores the library's but for one or two last places of {int(np.sum(got != scores))}"


def graph(path: Path, widths: list[int]) -> None:
    """A network of these widths with made-up weights: `Relu` between, `Sigmoid` at the end."""
    dice = np.random.default_rng(0)
    nodes, weights, given = [], [], "x"
    for at, (rows, columns) in enumerate(zip(widths, widths[1:])):
        for name, shape in (("w", (rows, columns)), ("b", (columns,))):
            weights.append(numpy_helper.from_array(dice.normal(0, 0.3, shape).astype(np.float32), f"{name}{at}"))
        last = at + 2 == len(widths)
        nodes.append(helper.make_node("Gemm", [given, f"w{at}", f"b{at}"], [f"z{at}"]))
        given = "y" if last else f"a{at}"
        nodes.append(helper.make_node("Sigmoid" if last else "Relu", [f"z{at}"], [given]))
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, widths[0]])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, widths[-1]])
    made = helper.make_graph(nodes, "graph", [given], [answer], weights)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def graphs(folder: Path, rounds: int) -> None:
    """Rates of graphs that are no trees, beside ONNX Runtime's."""
    numbers = (np.arange(4096)[:, None] * 31 + np.arange(30)[None, :] * 17) % 101 / 50.0 - 1.0
    for name, widths in (("a network of 30, 64, 32 and 1", [30, 64, 32, 1]), ("a logistic regression of 30 features", [30, 1])):
        path = folder / "graph.onnx"
        graph(path, widths)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        single = numbers.astype(np.float32)
        wanted = session.run(None, {"x": single})[0].ravel()
        rates: dict[str, list[float]] = {"Pelton": [], "ONNX Runtime": []}
        for _ in range(rounds):
            done = subprocess.run([PELTON, "bench", "--json", "--model-alone", path], capture_output=True, text=True, check=True)
            said = json.loads(done.stdout)
            off = float(np.max(np.abs(np.array(said["answers"]) - wanted)))
            if off > 2e-6:
                sys.exit(f"{name}: an answer is {off} off ONNX Runtime's")
            rates["Pelton"].append(said["rows_per_cpu_second"])
            begun, turns = time.process_time(), 0
            while time.process_time() - begun < 1:
                session.run(None, {"x": single})
                turns += 1
            rates["ONNX Runtime"].append(turns * 4096 / (time.process_time() - begun))
        middle = {who: statistics.median(found) for who, found in rates.items()}
        print(f"{name}, 4096 rows at a time, answers within 2e-6:")
        for who, rate in middle.items():
            print(f"  {who:13} {rate / 1e6:7.2f} M rows per cpu-second")
        print(f"  {middle['Pelton'] / middle['ONNX Runtime']:.2f} times ONNX Runtime")


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if not MODELS.is_dir():
        sys.exit(f"there is no {MODELS}")
    made = rows(args.rows)
    single = made.astype(np.float32)
    booster = xgboost.Booster(model_file=MODELS / "xgb_full.json")
    booster.set_param({"nthread": 1})
    trees = lightgbm.Booster(model_file=MODELS / "lgb_full.txt")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(MODELS / "xgb_full.onnx", options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0].name
    raws = {
        "xgb_full.json": lambda: booster.inplace_predict(single, predict_type="margin"),
        "lgb_full.txt": lambda: trees.predict(made, raw_score=True),
    }
    peers = {
        "xgb_full.json": {
            "XGBoost": lambda: booster.inplace_predict(single),
            "ONNX Runtime": lambda: session.run(None, {given: single}),
        },
        "lgb_full.txt": {"LightGBM": lambda: trees.predict(made, num_threads=1)},
        "xgb_full.onnx": {"ONNX Runtime": lambda: session.run(None, {given: single})[1][:, 1]},
    }
    missed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        columns = {"id": pa.array(np.arange(args.rows))} | {f: pa.array(made[:, i]) for i, f in enumerate(features())}
        pq.write_table(pa.table(columns), folder / "rows.parquet", compression="none", use_dictionary=False)
        for model, libraries in peers.items():
            raw = raws[model]() if model in raws else None
            near = check(folder, model, raw, next(iter(libraries.values()))())
            found: dict[str, list[float]] = {"Pelton": [], **{peer: [] for peer in libraries}}
            for _ in range(args.rounds):
                found["Pelton"].append(args.rows / pelton(folder, model, None))
                for peer, predict in libraries.items():
                    begun = time.process_time()
                    predict()
                    found[peer].append(args.rows / (time.process_time() - begun))
            middle = {who: statistics.median(rates) for who, rates in found.items()}
            print(f"{model}, {args.rows} rows, {near}:")
            for who, rate in middle.items():
                print(f"  {who:13} {rate / 1e6:6.3f} M rows per cpu-second")
            times = middle["Pelton"] / max(rate for who, rate in middle.items() if who != "Pelton")
            print(f"  {times:.2f} times the best of the others (bar {BAR})")
            if times < BAR:
                missed.append(model)
        graphs(folder, args.rounds)
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
