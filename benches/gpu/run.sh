#!/usr/bin/env bash
# Correctness first (random stages and ensembles of trees, the matrix), then speed, on a machine with an NVIDIA GPU and nothing of ours: pack.sh has put together what lies beside
# this script. Writes gpu.json and gpu.md to the folder given. Ten minutes at most; STAGES=N says how many random stages (10,000).
#
#   benches/gpu/pack.sh /tmp/gpu && scp -r /tmp/gpu machine: && ssh machine gpu/run.sh OUT
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
out=${1:?usage: run.sh OUT}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stages=${STAGES:-10000}
cores=$(nproc)
failed=0

for packed in *.xz; do
    [ -e "$packed" ] || continue
    if command -v xz >/dev/null; then xz -dc "$packed"; else python3 -c 'import lzma, shutil, sys
shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$packed"; fi >"$work/${packed%.xz}"
    chmod +x "$work/${packed%.xz}"
done
# NVRTC comes with the toolkit or as a wheel.
nvrtc=$(ldconfig -p | awk '/libnvrtc\.so/ { print $NF; exit }')
[ -n "$nvrtc" ] || nvrtc=$(find /usr/local /opt -name 'libnvrtc.so*' 2>/dev/null | head -1)
export LD_LIBRARY_PATH=$(dirname "${nvrtc:-/nowhere/x}"):${LD_LIBRARY_PATH:-}
export XDG_CACHE_HOME=$work/cache
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$work/gpu"

echo "== pelton doctor"
"$work/pelton" doctor 2>&1 | tee "$work/doctor"

echo "== random stages beside the processor: $stages, and a tenth as many ensembles of trees, by $cores processes"
each=$(((stages + cores - 1) / cores)) running=()
for i in $(seq 0 $((cores - 1))); do
    from=$((i * each)) to=$(((i + 1) * each > stages ? stages : (i + 1) * each))
    PELTON_STAGES=$from..$to timeout "${STAGES_S:-300}" "$work/pelton_devices" --ignored --nocapture on_a_gpu --skip measurements >"$work/stages.$i" 2>&1 &
    running+=($!)
done
wrong=0 late=0
for process in "${running[@]}"; do
    wait "$process"
    case $? in 0) ;; 124) late=$((late + 1)) ;; *) wrong=$((wrong + 1)) ;; esac
done
grep -hE 'panicked' -A1 "$work"/stages.* | cut -c1-400 | head -20
echo "$stages stages and $((stages / 10)) ensembles by $cores processes: $wrong found a difference, $late did not end in time" | tee "$work/stages.said"
[ $((wrong + late)) -eq 0 ] || failed=1

echo "== determinism matrix"
timeout "${MATRIX_S:-200}" "$work/pelton-matrix" --cases cases --data data --out "$work/matrix" >"$work/matrix.said" 2>&1 || failed=1
tail -n 6 "$work/matrix.said"

echo "== speed"
timeout "${SPEED_S:-200}" "$work/pelton" bench --gpu --json >"$work/speed" 2>"$work/speed.said" || { failed=1; cat "$work/speed.said"; }
echo "== peers"
timeout 120 python3 peers.py >"$work/peers" 2>"$work/peers.said" || tail -n 3 "$work/peers.said"
cp "$work"/*.said "$work/doctor" "$out"
python3 report.py "$work" "$(cat commit)" "$out"
exit $failed
