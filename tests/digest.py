#!/usr/bin/env python3
"""Computes the digest of rows from the files a sink wrote: Parquet, Arrow IPC files and Arrow IPC streams.

    pip install pyarrow xxhash
    python tests/digest.py FILE...      prints one digest over all rows of all files
    python tests/digest.py --self-test  checks itself against the digest that the Rust tests expect

The digest is the sum modulo 2**128 of XXH3-128 over each row's canonical bytes, as 32 hex digits, then ':' and the number
of rows. The bytes are described in kernels/src/canonical.rs; this is an independent reading of that page.
"""

import struct
import sys

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import xxhash

NAN = struct.pack("<Q", 0x7FF8000000000000)
# The same rows and the same digest stand in kernels/src/digest.rs; change both together.
EVERY_TYPE = "13a55a542fdaced8fbbe31fe5720c1d4:3"

MICROS = {"s": lambda v: v * 1_000_000, "ms": lambda v: v * 1000, "us": lambda v: v, "ns": lambda v: v // 1000}


def i64(value):
    # Times far beyond the range of int64 microseconds wrap.
    return struct.pack("<Q", value & 0xFFFF_FFFF_FFFF_FFFF)


def sized(data):
    return struct.pack("<I", len(data)) + data


def number(value):
    # Adding 0.0 turns -0.0 into 0.0.
    return NAN if value != value else struct.pack("<d", value + 0.0)


def with_tag(tag, values, payload):
    """One cell per value: tag, 1 and payload, or tag and 0 where the value is None."""
    return [bytes((tag, 0)) if value is None else bytes((tag, 1)) + payload(value) for value in values]


def integers(array, width):
    """The integers behind times, without going through datetime."""
    return array.view(pa.int32() if width == 32 else pa.int64()).to_pylist()


def scaled(value, scale):
    """The unscaled integer of a Decimal."""
    sign, digits, exponent = value.as_tuple()
    unscaled = int("".join(map(str, digits))) * 10 ** (exponent + scale)
    return -unscaled if sign else unscaled


def cells(array):
    """The canonical bytes of each value of a pyarrow array."""
    t = array.type
    if pa.types.is_dictionary(t):
        return cells(array.dictionary_decode())
    if pa.types.is_run_end_encoded(t):
        return cells(pa.compute.run_end_decode(array))
    if isinstance(array, pa.ExtensionArray):
        return cells(array.storage)
    if pa.types.is_null(t):
        return [b"\0\0"] * len(array)
    if pa.types.is_boolean(t):
        return with_tag(1, array.to_pylist(), lambda v: bytes((v,)))
    if pa.types.is_signed_integer(t):
        return with_tag(2, array.to_pylist(), lambda v: struct.pack("<q", v))
    if pa.types.is_unsigned_integer(t):
        return with_tag(3, array.to_pylist(), lambda v: struct.pack("<Q", v))
    if pa.types.is_floating(t):
        return with_tag(4, array.to_pylist(), lambda v: number(float(v)))
    if pa.types.is_decimal(t):
        tag, width = (6, 32) if t.bit_width == 256 else (5, 16)
        tail = struct.pack("<b", t.scale)
        return with_tag(tag, array.to_pylist(), lambda v: scaled(v, t.scale).to_bytes(width, "little", signed=True) + tail)
    if pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t):
        return with_tag(7, array.to_pylist(), lambda v: sized(v.encode()))
    if pa.types.is_binary(t) or pa.types.is_large_binary(t) or pa.types.is_binary_view(t) or pa.types.is_fixed_size_binary(t):
        return with_tag(8, array.to_pylist(), sized)
    if pa.types.is_date32(t):
        return with_tag(9, integers(array, 32), lambda v: i64(v * 86_400_000_000))
    if pa.types.is_date64(t):
        return with_tag(9, integers(array, 64), lambda v: i64(v * 1000))
    if pa.types.is_time(t) or pa.types.is_timestamp(t) or pa.types.is_duration(t):
        if pa.types.is_time(t):
            tag = 10
        elif pa.types.is_duration(t):
            tag = 13
        else:
            tag = 11 if t.tz is None else 12
        return with_tag(tag, integers(array, t.bit_width), lambda v: i64(MICROS[t.unit](v)))
    if t == pa.month_day_nano_interval():
        return with_tag(14, array.to_pylist(), lambda v: struct.pack("<iiq", v.months, v.days, v.nanoseconds))
    if pa.types.is_struct(t):
        fields = [cells(array.field(i)) for i in range(t.num_fields)]
        rows = [b"".join(row) for row in zip(*fields)] if fields else [b""] * len(array)
        return with_tag(16, [row if valid else None for row, valid in zip(rows, array.is_valid().to_pylist())], bytes)
    if pa.types.is_map(t):
        elements = [key + value for key, value in zip(cells(array.keys), cells(array.items))]
        spans = [(a.as_py(), b.as_py()) for a, b in zip(array.offsets[:-1], array.offsets[1:])]
        return lists(17, array, elements, spans)
    if pa.types.is_fixed_size_list(t):
        n = t.list_size
        return lists(15, array, cells(array.values), [((array.offset + i) * n, (array.offset + i + 1) * n) for i in range(len(array))])
    if pa.types.is_list_view(t) or pa.types.is_large_list_view(t):
        spans = [(a.as_py(), a.as_py() + n.as_py()) for a, n in zip(array.offsets, array.sizes)]
        return lists(15, array, cells(array.values), spans)
    if pa.types.is_list(t) or pa.types.is_large_list(t):
        spans = [(a.as_py(), b.as_py()) for a, b in zip(array.offsets[:-1], array.offsets[1:])]
        return lists(15, array, cells(array.values), spans)
    raise SystemExit(f"digest.py: no canonical bytes for {t}")


def lists(tag, array, elements, spans):
    valid = array.is_valid().to_pylist()
    return with_tag(tag, [span if ok else None for span, ok in zip(spans, valid)],
                    lambda span: struct.pack("<I", span[1] - span[0]) + b"".join(elements[span[0]:span[1]]))


def digest(batches):
    total, rows = 0, 0
    for batch in batches:
        columns = [cells(column) for column in batch.columns]
        for row in zip(*columns) if columns else [()] * batch.num_rows:
            total = (total + xxhash.xxh3_128_intdigest(b"".join(row))) % 2**128
        rows += batch.num_rows
    return f"{total:032x}:{rows}"


def batches_of(path):
    with open(path, "rb") as file:
        head = file.read(6)
    if head.startswith(b"PAR1"):
        yield from pq.ParquetFile(path).iter_batches(8192)
    elif head == b"ARROW1":
        reader = pa.ipc.open_file(path)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        yield from pa.ipc.open_stream(path)


def every_type():
    """One column per type, three rows: a value, NULL, another value."""
    from decimal import Decimal

    def three(a, b, t):
        return pa.array([a, None, b], t)

    def raw(a, b, t):
        """`a` and `b` are the integers behind a time."""
        return pa.array([a, None, b], pa.int32() if t.bit_width == 32 else pa.int64()).view(t)

    nan, null = float("nan"), pa.array([False, True, False])
    floats = pa.array([0.5, nan, None], pa.float64(), from_pandas=False)
    names = pa.array(["x", "unseen", None])
    ints = pa.array([1, None, 3], pa.int32())
    texts = [three("é", "", t) for t in (pa.string(), pa.large_string(), pa.string_view())]
    texts += [three("é".encode(), b"", t) for t in (pa.binary(), pa.large_binary(), pa.binary_view())]
    columns = [
        pa.nulls(3),
        three(True, False, pa.bool_()),
        three(1, -128, pa.int8()), three(2, -2, pa.int16()), three(3, -3, pa.int32()), three(2**63 - 1, -(2**63), pa.int64()),
        three(1, 255, pa.uint8()), three(2, 65_535, pa.uint16()), three(3, 4_000_000_000, pa.uint32()), three(4, 2**64 - 1, pa.uint64()),
        three(1.5, -nan, pa.float64()).cast(pa.float16()), three(0.1, -0.0, pa.float32()), three(0.1, -nan, pa.float64()),
        three(-0.0, float("-inf"), pa.float64()),
        three(Decimal("12.34"), Decimal("-0.05"), pa.decimal32(7, 2)),
        three(Decimal("1.234"), Decimal("-0.005"), pa.decimal64(15, 3)),
        three(Decimal("10000000000000000000000000.0000"), Decimal("-0.0001"), pa.decimal128(30, 4)),
        three(Decimal("100000000000000000000000000000.0"), Decimal("-0.1"), pa.decimal256(60, 1)),
        *texts,
        three(b"abc", b"\0\0\xff", pa.binary(3)),
        raw(20_000, -1, pa.date32()), raw(1_728_000_000_000, -86_400_000, pa.date64()),
        raw(3661, 0, pa.time32("s")), raw(3_661_001, 0, pa.time32("ms")),
        raw(3_661_000_001, 0, pa.time64("us")), raw(3_661_000_001_999, 0, pa.time64("ns")),
        raw(1_700_000_000, -1, pa.timestamp("s")), raw(1_700_000_000_001, -1, pa.timestamp("ms")),
        raw(1_700_000_000_000_001, -1, pa.timestamp("us")), raw(1_700_000_000_000_000_001, -1, pa.timestamp("ns")),
        raw(1_700_000_000_000_001, -1, pa.timestamp("us", "UTC")),
        raw(5, -5, pa.duration("s")), raw(1999, -1, pa.duration("ns")),
        pa.array([(1, -2, 3), None, (0, 0, 2**63 - 1)], pa.month_day_nano_interval()),
        pa.array([[1, None], None, [3]], pa.list_(pa.int32())),
        pa.array([[], None, [0.5, nan, None]], pa.large_list(pa.float64())),
        pa.array([[1], None, [3]], pa.list_(pa.int32(), 1)),
        pa.StructArray.from_arrays([names, floats], ["n", "f"], mask=null),
        pa.array([[("a", 7), ("b", None)], None, []], pa.map_(pa.string(), pa.int64())),
        pa.DictionaryArray.from_arrays(pa.array([0, None, 2], pa.int32()), names),
        pa.DictionaryArray.from_arrays(pa.array([2, None, 1], pa.int8()), ints),
    ]
    return pa.record_batch(columns, [f"c{i}" for i in range(len(columns))])


def self_test():
    batch = every_type()
    got = digest([batch])
    if got != EVERY_TYPE:
        raise SystemExit(f"digest.py: self-test gives {got}, want {EVERY_TYPE}")
    # Slices and concatenation leave the sum alone.
    three = pa.Table.from_batches([batch] * 3).combine_chunks().to_batches()[0]
    if digest([three.slice(i, 1) for i in (4, 0, 8, 1, 2, 3, 5, 6, 7)]) != digest([batch] * 3):
        raise SystemExit("digest.py: self-test: slices differ")
    print("ok", got)


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    else:
        print(digest(batch for path in sys.argv[1:] for batch in batches_of(path)))
