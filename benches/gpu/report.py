"""Puts together what run.sh has found: gpu.json, and gpu.md for people. usage: report.py FOUND COMMIT OUT"""

import datetime
import json
import pathlib
import sys

found, commit, out = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])


def text(name):
    path = found / name
    return path.read_text().strip() if path.exists() else ""


def lines(name):
    return [json.loads(line) for line in text(name).splitlines() if line.startswith("{")]


speed = lines("speed")
figures = speed[-1]["figures"] if speed else []
peers = lines("peers")
report = {
    "date": datetime.date.today().isoformat(),
    "commit": commit,
    "gpu": text("gpu"),
    "stages": text("stages.said"),
    "matrix": text("matrix.said").splitlines()[-4:],
    "figures": figures,
    "peers": peers,
}
(out / "gpu.json").write_text(json.dumps(report, indent=1) + "\n")

page = [f"# {report['gpu']}", "", f"{report['date']}, commit {commit}, by `benches/gpu/run.sh`.", "", "## Correctness", ""]
page += [f"- {report['stages']}"] + [f"- {line}" for line in report["matrix"]] + ["", "## Speed", ""]
page += ["| what | Mrow/s | GB/s | share | of | |", "| --- | ---: | ---: | ---: | --- | --- |"]
for figure in figures:
    share = "" if figure["share"] is None else f"{figure['share']:.2f}"
    rate = f"{figure['rows_per_second'] / 1e6:,.1f}" if figure["rows_per_second"] else ""
    page.append(f"| {figure['what']} | {rate} | {figure['bytes_per_second'] / 1e9:,.1f} | {share} | {figure['of']} | {figure['note']} |")
page += [f"| {peer['what']} | {peer.get('rows_per_second', 0) / 1e6:,.1f} | | | | {peer.get('not_there', 'plain float sums')} |" for peer in peers]
(out / "gpu.md").write_text("\n".join(page) + "\n")
print("\n".join(page))
