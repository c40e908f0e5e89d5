"""Micro-batch mode of the peers: the loops that somebody would write around an engine that answers whole tables.

Per batch a partial answer by the engine (`partial`); partial answers of what is open are kept in a list and merged by the
engine (`merge`) when their rows pass a limit or something closes; what closes is finished by the engine (`final`) and emitted.
What a loop keeps are tables of the engine's own, of which it needs `num_rows`, `column` and `filter`."""
import time
import pyarrow as pa, pyarrow.compute as pc
from queries import *

class Stateless:
    """Nothing is kept: the answer of a batch is its part of the whole answer."""
    def __init__(s, engine, q): s.engine, s.emitted = engine, []
    def push(s, b): s.emitted.append(s.engine.final(s.engine.partial(b)))
    def end(s): pass

class Whole:
    """No window: all rows are one."""
    def __init__(s, engine, q, compact=200_000): s.engine, s.emitted, s.parts, s.rows, s.last, s.compact = engine, [], [], 0, 0, compact
    def add(s, b): p = s.engine.partial(b); s.parts.append(p); s.rows += p.num_rows
    def full(s): return s.rows > max(s.compact, 2 * s.last)
    def keep(s, merged): s.parts, s.rows, s.last = [merged], merged.num_rows, merged.num_rows
    def push(s, b):
        s.add(b)
        if s.full(): s.keep(s.engine.merge(s.parts))
    def end(s): s.emitted.append(s.engine.final(s.engine.merge(s.parts)))

class Tumble(Whole):
    """Windows one behind the other: those below the watermark are finished."""
    def __init__(s, engine, q, time, width, late, compact):
        super().__init__(engine, q, compact); s.time, s.width, s.late, s.closed = time, width, late, None
    def bound(s, b):
        mark = pc.max(b.column(b.schema.get_field_index(s.time))).as_py() - s.late
        return mark - mark % s.width
    def push(s, b):
        bound = s.bound(b); s.add(b)
        if s.closed is None: s.closed = bound
        if bound > s.closed or s.full():
            merged = s.engine.merge(s.parts)
            if bound > s.closed:
                mask = pc.less(merged.column("w"), bound); merged = s.close(merged, mask, bound); s.closed = bound
            s.keep(merged)
    def close(s, merged, mask, bound):
        s.emitted.append(s.engine.final(merged.filter(mask))); return merged.filter(pc.invert(mask))

class Hop(Tumble):
    """Overlapping windows of panes as wide as their slide. A pane that is complete is merged and kept as long as a window needs it."""
    def __init__(s, engine, q, time, width, late, compact, panes):
        super().__init__(engine, q, time, width, late, compact); s.span = panes * width; s.panes = {}; s.next = None
    def close(s, merged, mask, bound):
        for w in pc.unique(merged.filter(mask).column("w")).to_pylist(): s.panes[w] = merged.filter(pc.equal(merged.column("w"), w))
        s.windows(bound); return merged.filter(pc.invert(mask))
    def windows(s, bound):
        """Emits all windows that end at `bound` or before."""
        if s.next is None and s.panes: s.next = min(s.panes) + s.width
        while s.next is not None and s.next <= bound:
            start = s.next - s.span; parts = [p for w, p in s.panes.items() if start <= w < s.next]
            if parts: s.emitted.append(s.engine.final(s.engine.joined(parts), start))
            s.panes = {w: p for w, p in s.panes.items() if w > start}; s.next += s.width
    def end(s):
        merged = s.engine.merge(s.parts); w = merged.column("w")
        s.close(merged, pc.is_valid(w), pc.max(w).as_py() + s.span)

class Sessions(Whole):
    """Sessions in order: one that has been quiet for the gap is finished. They end at any time, so all are merged with every batch."""
    def __init__(s, engine, q, time, gap): super().__init__(engine, q); s.time, s.gap = time, gap
    def push(s, b):
        mark = pc.max(b.column(b.schema.get_field_index(s.time))).as_py()
        s.add(b); merged = s.engine.merge(s.parts)
        mask = pc.less_equal(merged.column("en"), mark - s.gap)
        s.emitted.append(s.engine.final(merged.filter(mask))); s.keep(merged.filter(pc.invert(mask)))

LOOPS = {
 "ysb": (Tumble, "event_time", W10, 0, 200_000), "f1": (Tumble, "event_time", W60, 2_000, 500_000),
 "f2": (Tumble, "event_time", W600, 2_000, 4_000_000), "f2d": (Tumble, "event_time", W600, 2_000, 4_000_000),
 "f3": (Hop, "event_time", W60, 2_000, 4_000_000, 10), "tpch_q1": (Whole,), "tpch_q6": (Whole,), "nx1": (Stateless,), "nx2": (Stateless,),
 "nx5x": (Hop, "dateTime", W2, 0, 500_000, 5), "nx7x": (Tumble, "dateTime", W10, 0, 200_000), "nx11": (Sessions, "dateTime", W10)}

def measure(engine, q, batches, rows_max, cpu):
    """Feeds batches one at a time, each once the one before is done; what came out, and times in ms."""
    kind, *arguments = LOOPS[q]
    loop, took, rows = kind(engine, q, *arguments), [], 0
    c0, t0 = cpu(), time.perf_counter()
    for b in batches:
        if rows >= rows_max: break
        s = time.perf_counter(); loop.push(b); rows += b.num_rows; took.append(time.perf_counter() - s)
    loop.end()
    wall, used = time.perf_counter() - t0, cpu() - c0
    took.sort(); k = len(took)
    times = {"p50": took[k // 2] * 1e3, "p99": took[min(k - 1, int(k * .99))] * 1e3, "max": took[-1] * 1e3}
    return loop.emitted, {"ok": True, "wall": wall, "cpu": used, "rows": rows, "batches": k} | times
