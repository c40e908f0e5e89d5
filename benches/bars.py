"""Bars: what a figure has to reach. Judged, printed and recorded in one way by everything that `./x bench` runs."""

import math


def bar(name, got, need, unit="x", most=False, aim=None):
    """One bar, judged. `got` has to be at least `need`, or with `most` at most that; `aim` is only shown."""
    met = got <= need if most else got >= need
    return {"bar": name, "got": got, "need": need, "unit": unit, "most": most, "aim": aim, "met": met}


def show(bars):
    """Prints a line a bar; the names of those missed."""
    for b in bars:
        aim = f", aim {b['aim']:g}" if b["aim"] else ""
        share = "" if b["met"] else f": {b['got'] / b['need']:.0%} of it"
        limit = f"{'at most' if b['most'] else 'at least'} {b['need']:g} {b['unit']}"
        print(f"{'met' if b['met'] else 'MISSED':6}  {b['bar']}: {figure(b['got'])} {b['unit']}, {limit}{aim}{share}")
    missed = [b["bar"] for b in bars if not b["met"]]
    if bars:
        print(f"# {len(bars) - len(missed)} bars met, {len(missed)} missed", flush=True)
    return missed


def figure(x):
    """Three digits or more."""
    return f"{x:,.{max(0, 2 - math.floor(math.log10(abs(x))))}f}" if x else "0"
