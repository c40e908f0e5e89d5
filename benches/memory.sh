#!/usr/bin/env bash
# Memory follows state, not input: highest resident size of `pelton run`, against its bar of 1 GiB.
#
#   f1    50,000,000 payments, few groups
#   keys  20,000,000 rows, each with a string key of its own that leaves with its window
#
# usage: benches/memory.sh [f1|keys …]     MEMORY_ROWS=N for other sizes, MEMORY_MIB for another bar
# Makes its input once, in ${PELTON_BENCH_DIR:-~/.cache/pelton-bench}. Exit code 1 if a bar is missed or a row is lost.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}
data=${PELTON_BENCH_DIR:-$cache/pelton-bench}/${MEMORY_ROWS:+rows-$MEMORY_ROWS}
[ -n "${MEMORY_ROWS:-}" ] || data=${data}whole
pelton=${PELTON:-${CARGO_TARGET_DIR:-$cache/pelton-target}/debug/pelton}
python=${PYTHON:-$here/../.venv/bin/python}
limit_mib=${MEMORY_MIB:-1024}
passed=0 failed=0

# measure NAME ROWS: runs queries/NAME.sql into nothing and judges rows and memory.
measure() {
    if SINK="'connector' = 'blackhole'" "$python" - "$1" "$2" "$limit_mib" "$pelton" run --json --threads 2 "$here/queries/$1.sql" <<'PY'
import json, resource, subprocess, sys

name, rows, limit, command = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
if done.returncode != 0:
    sys.exit(f"{name}: pelton ended with {done.returncode}")
said = json.loads(done.stdout.strip().splitlines()[-1])
good = said["rows_in"] == rows and peak < limit and (name != "keys" or said["rows_out"] == rows)
print(f"{name}: {said['rows_in']:,} of {rows:,} rows in, {said['rows_out']:,} out, {said['seconds']:.1f} s,"
      f" {said['rows_per_second'] / 1e6:.1f} Mrow/s, highest resident size {peak:,.0f} of {limit:,} MiB: {'ok' if good else 'MISSED'}")
sys.exit(0 if good else 1)
PY
    then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

for name in ${@:-f1 keys}; do
    case $name in
        f1) table=fraud rows=${MEMORY_ROWS:-50000000} ;;
        keys) table=keys rows=${MEMORY_ROWS:-20000000} ;;
        *) echo "memory.sh: unknown name '$name'; known: f1 keys" >&2; exit 2 ;;
    esac
    PEERS_DATA=$data "$python" "$here/gen.py" $table ${MEMORY_ROWS:+--rows "$MEMORY_ROWS"}
    export "SOURCE_$table='connector' = 'filesystem', 'path' = '$data/$table/zstd', 'format' = 'parquet'"
    measure "$name" "$rows"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
