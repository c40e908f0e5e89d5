#!/usr/bin/env bash
# Packs what run.sh needs on a bare machine with a GPU: three binaries, the cases and their data. usage: pack.sh INTO
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
into=${1:?usage: benches/gpu/pack.sh INTO}
target=${PELTON_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pelton-target}
mkdir -p "$into"
export CARGO_TARGET_DIR=$target
cargo build --workspace --locked
tests=$(cargo test --workspace --locked --lib --no-run --message-format=json 2>/dev/null |
    .venv/bin/python -c 'import json, sys
for line in sys.stdin:
    made = json.loads(line) if line.startswith("{") else {}
    if made.get("target", {}).get("name") == "pelton_devices" and made.get("executable"):
        print(made["executable"])')
for binary in "$target/debug/pelton" "$target/debug/pelton-matrix" "$tests"; do
    name=$(basename "$binary")
    strip -o "$into/${name%-[0-9a-f]*}" "$binary"
    xz -f -T0 -4 "$into/${name%-[0-9a-f]*}"
done
.venv/bin/python tests/data.py "$into/data" >/dev/null
cp -r tests/cases "$into/cases"
cp benches/gpu/run.sh benches/gpu/peers.py benches/gpu/report.py "$into"
git rev-parse --short HEAD >"$into/commit"
du -sh "$into"
