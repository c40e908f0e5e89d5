"""f1 as CuPy and PyTorch users write it, over columns that are on the GPU already: rows a second, one JSON object a line.

The same question as `pelton bench --gpu` asks of the same number of rows of the same distribution: payments above 50 in eight countries, by
country, category and minute: count, sum, mean, least, greatest, standard deviation. Their sums are plain floats; Pelton's are exact.
"""

import json
import time

import numpy as np

ROWS, CHOSEN = 1 << 24, np.array([0, 1, 2, 3, 30, 35, 33, 28])


def rows():
    rng = np.random.default_rng(7)
    u = rng.random(ROWS)
    country = np.minimum((((40**0.1 - 1) * u + 1) ** 10).astype(np.int64), 39).astype(np.int32)
    mcc = rng.integers(0, 300, ROWS, dtype=np.int32)
    amount = np.round(rng.lognormal(3.2, 1.1, ROWS), 2)
    at = (np.arange(ROWS, dtype=np.int64) * 1000) // (50_000_000 // 3600)
    return country, mcc, amount, at


def timed(work, wait, rounds=7):
    work()
    wait()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return sorted(times)[rounds // 2]


def cupy_f1(columns):
    import cupy as cp
    import cupyx

    country, mcc, amount, at = (cp.asarray(c) for c in columns)
    place = cp.full(40, -1, dtype=cp.int64)
    place[cp.asarray(CHOSEN)] = cp.arange(len(CHOSEN))
    panes = int(at[-1]) // 60_000 + 1
    groups = panes * len(CHOSEN) * 300

    def work():
        where = place[country]
        keep = (amount > 50.0) & (where >= 0)
        a = amount[keep]
        key = (at[keep] // 60_000 * len(CHOSEN) + where[keep]) * 300 + mcc[keep]
        n = cp.bincount(key, minlength=groups)
        s = cp.bincount(key, weights=a, minlength=groups)
        q = cp.bincount(key, weights=a * a, minlength=groups)
        low, high = cp.full(groups, cp.inf), cp.full(groups, -cp.inf)
        cupyx.scatter_min(low, key, a)
        cupyx.scatter_max(high, key, a)
        mean = s / n
        return n, s, mean, low, high, cp.sqrt((q - n * mean * mean) / (n - 1))

    return timed(work, cp.cuda.Device().synchronize)


def torch_f1(columns):
    import torch

    country, mcc, amount, at = (torch.from_numpy(c).cuda() for c in columns)
    place = torch.full((40,), -1, dtype=torch.int64, device="cuda")
    place[torch.from_numpy(CHOSEN).cuda()] = torch.arange(len(CHOSEN), device="cuda")
    panes = int(at[-1]) // 60_000 + 1
    groups = panes * len(CHOSEN) * 300

    def work():
        where = place[country.long()]
        keep = (amount > 50.0) & (where >= 0)
        a = amount[keep]
        key = (at[keep] // 60_000 * len(CHOSEN) + where[keep]) * 300 + mcc[keep]
        zeros = torch.zeros(groups, dtype=torch.float64, device="cuda")
        n = torch.bincount(key, minlength=groups)
        s = zeros.scatter_add(0, key, a)
        q = zeros.scatter_add(0, key, a * a)
        low = torch.full_like(zeros, torch.inf).scatter_reduce(0, key, a, "amin")
        high = torch.full_like(zeros, -torch.inf).scatter_reduce(0, key, a, "amax")
        mean = s / n
        return n, s, mean, low, high, torch.sqrt((q - n * mean * mean) / (n - 1))

    return timed(work, torch.cuda.synchronize)


def main():
    columns = rows()
    for name, peer in [("CuPy", cupy_f1), ("PyTorch", torch_f1)]:
        try:
            seconds = peer(columns)
            print(json.dumps({"what": f"f1 by {name}, from the device's memory", "rows_per_second": ROWS / seconds}), flush=True)
        except ImportError as error:
            print(json.dumps({"what": f"f1 by {name}", "not_there": str(error)}), flush=True)


main()
