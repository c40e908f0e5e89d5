// MIN and MAX of values of any width, without wide atomics.
//
// Values become words that are ordered as they are, most significant first, and those of MAX are complemented: then the
// least wins always. In `fold` the rows of a group compete for one word, which names the best row so far: a row that beats it
// swaps itself in. A failed swap means that another row came in, so somebody always gets on, and most rows only look. In
// `settle` the winner writes its words into the state.
//
// A state: the best row of this batch + 1, or 0; whether there is a value; the words.

fn ordered_signed_one(column: u32, row: u32) -> vec4<u32> {
    return vec4<u32>(load_one(column, row) ^ 0x80000000u, 0u, 0u, 0u);
}

fn ordered_unsigned_one(column: u32, row: u32) -> vec4<u32> {
    return vec4<u32>(load_one(column, row), 0u, 0u, 0u);
}

fn ordered_signed_two(column: u32, row: u32) -> vec4<u32> {
    let words = load_two(column, row);
    return vec4<u32>(words.y ^ 0x80000000u, words.x, 0u, 0u);
}

fn ordered_unsigned_two(column: u32, row: u32) -> vec4<u32> {
    return vec4<u32>(load_two(column, row).yx, 0u, 0u);
}

fn ordered_signed_four(column: u32, row: u32) -> vec4<u32> {
    let words = load_four(column, row);
    return vec4<u32>(words.w ^ 0x80000000u, words.zyx);
}

// Total order of floats: below zero the larger magnitude comes first.
fn ordered_float_one(column: u32, row: u32) -> vec4<u32> {
    let word = load_one(column, row);
    return vec4<u32>(word ^ (sign_of(word) | 0x80000000u), 0u, 0u, 0u);
}

fn ordered_float_two(column: u32, row: u32) -> vec4<u32> {
    let words = load_two(column, row);
    let sign = sign_of(words.y);
    return vec4<u32>(words.y ^ (sign | 0x80000000u), words.x ^ sign, 0u, 0u);
}

fn less(a: vec4<u32>, b: vec4<u32>) -> bool {
    if a.x != b.x {
        return a.x < b.x;
    }
    if a.y != b.y {
        return a.y < b.y;
    }
    if a.z != b.z {
        return a.z < b.z;
    }
    return a.w < b.w;
}

fn kept(at: u32, words: u32) -> vec4<u32> {
    var value = vec4<u32>(atomicLoad(&state[at]), 0u, 0u, 0u);
    if words > 1u {
        value.y = atomicLoad(&state[at + 1u]);
    }
    if words > 2u {
        value.z = atomicLoad(&state[at + 2u]);
        value.w = atomicLoad(&state[at + 3u]);
    }
    return value;
}

fn compete(extreme: u32, at: u32, words: u32, row: u32) {
    let mine = value_of(extreme, row);
    if atomicLoad(&state[at + 1u]) == 1u && !less(mine, kept(at + 2u, words)) {
        return;
    }
    var best = atomicLoad(&state[at]);
    loop {
        if best != 0u && !less(mine, value_of(extreme, best - 1u)) {
            return;
        }
        let swap = atomicCompareExchangeWeak(&state[at], best, row + 1u);
        if swap.exchanged {
            return;
        }
        best = swap.old_value;
    }
}

fn keep(extreme: u32, at: u32, words: u32, row: u32) {
    if atomicLoad(&state[at]) != row + 1u {
        return;
    }
    let value = value_of(extreme, row);
    atomicStore(&state[at], 0u);
    atomicStore(&state[at + 1u], 1u);
    atomicStore(&state[at + 2u], value.x);
    if words > 1u {
        atomicStore(&state[at + 3u], value.y);
    }
    if words > 2u {
        atomicStore(&state[at + 4u], value.z);
        atomicStore(&state[at + 5u], value.w);
    }
}
