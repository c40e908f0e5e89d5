// The batch at hand, as the host packed it: a header, then the columns, all in 32-bit words.
//
// Header: rows; the mask of the slots; the first pane of the batch and the ticks of a pane; then for each column
// where its words begin, where its bitmap of the rows that take part begins (0: all do), and a third: for doubles the
// power of two that sums are multiples of, for codes of a dictionary where the bitmap of those that pass begins.

@group(0) @binding(0) var<storage, read> batch: array<u32>;

fn rows() -> u32 {
    return batch[0];
}

fn slot_mask() -> u32 {
    return batch[1];
}

fn takes_part(column: u32, row: u32) -> bool {
    let bitmap = batch[5u + 3u * column];
    if bitmap == 0u {
        return true;
    }
    return ((batch[bitmap + row / 32u] >> (row % 32u)) & 1u) == 1u;
}

fn scale(column: u32) -> i32 {
    return bitcast<i32>(batch[6u + 3u * column]);
}

fn load_one(column: u32, row: u32) -> u32 {
    return batch[batch[4u + 3u * column] + row];
}

// Panes before those of the first batch are below zero, as their bits.
fn pane_of(column: u32, row: u32) -> u32 {
    return batch[2] + load_one(column, row) / batch[3];
}

fn load_two(column: u32, row: u32) -> vec2<u32> {
    let at = batch[4u + 3u * column] + 2u * row;
    return vec2<u32>(batch[at], batch[at + 1u]);
}

fn load_four(column: u32, row: u32) -> vec4<u32> {
    let at = batch[4u + 3u * column] + 4u * row;
    return vec4<u32>(batch[at], batch[at + 1u], batch[at + 2u], batch[at + 3u]);
}

// Integers of every form as 128 bits in two's complement, lowest word first.

fn sign_of(word: u32) -> u32 {
    return select(0u, ALL_ONES, (word >> 31u) == 1u);
}

fn signed_one(column: u32, row: u32) -> vec4<u32> {
    let word = load_one(column, row);
    let sign = sign_of(word);
    return vec4<u32>(word, sign, sign, sign);
}

fn unsigned_one(column: u32, row: u32) -> vec4<u32> {
    return vec4<u32>(load_one(column, row), 0u, 0u, 0u);
}

fn signed_two(column: u32, row: u32) -> vec4<u32> {
    let words = load_two(column, row);
    let sign = sign_of(words.y);
    return vec4<u32>(words, sign, sign);
}

fn unsigned_two(column: u32, row: u32) -> vec4<u32> {
    return vec4<u32>(load_two(column, row), 0u, 0u);
}

fn signed_four(column: u32, row: u32) -> vec4<u32> {
    return load_four(column, row);
}
