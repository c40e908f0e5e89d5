// Exact sums: integers of as many 32-bit limbs as a sum of 2^32 rows can need, in two's complement, lowest limb first.
//
// Each limb is an atomic of its own and hands its carry to the next. A limb's additions happen in some order, and in every
// order it wraps equally often; so the limbs are right when all rows are in, and need not be before.

@group(0) @binding(5) var<storage, read_write> state: array<atomic<u32>>;

fn negated(words: vec4<u32>) -> vec4<u32> {
    let flipped = ~words;
    let x = flipped.x + 1u;
    let y = flipped.y + u32(x == 0u);
    let z = flipped.z + u32(x == 0u && y == 0u);
    let w = flipped.w + u32(x == 0u && y == 0u && z == 0u);
    return vec4<u32>(x, y, z, w);
}

// Adds ±magnitude · 2^(32 · first) to the sum of `limbs` limbs at `at`.
fn accumulate(at: u32, limbs: u32, first: u32, magnitude: vec4<u32>, negative: bool) {
    var rest = magnitude;
    var carry = 0u;
    for (var limb = first; limb < limbs; limb++) {
        if carry == 0u && all(rest == vec4<u32>()) {
            return;
        }
        let word = rest.x + carry;
        let wrapped = u32(word < carry);
        if negative {
            let old = atomicSub(&state[at + limb], word);
            carry = wrapped | u32(old < word);
        } else {
            let old = atomicAdd(&state[at + limb], word);
            carry = wrapped | u32(old + word < old);
        }
        rest = vec4<u32>(rest.yzw, 0u);
    }
}

fn add_integer(at: u32, limbs: u32, value: vec4<u32>) {
    let negative = (value.w >> 31u) == 1u;
    if negative {
        accumulate(at, limbs, 0u, negated(value), true);
    } else {
        accumulate(at, limbs, 0u, value, false);
    }
}

// Adds a double, which is an integer times a power of two: `scale` and up, as the host has seen to. What is no number
// leaves a flag behind the limbs: 2 for NaN, 4 and 8 for the infinities.
fn add_double(at: u32, limbs: u32, words: vec2<u32>, scale: i32) {
    let field = (words.y >> 20u) & 0x7ffu;
    let fraction = words.y & 0xfffffu;
    let negative = (words.y >> 31u) == 1u;
    if field == 0x7ffu {
        let infinity = select(4u, 8u, negative);
        atomicOr(&state[at + limbs], select(2u, infinity, fraction == 0u && words.x == 0u));
        return;
    }
    let high = select(fraction | 0x100000u, fraction, field == 0u);
    if high == 0u && words.x == 0u {
        return;
    }
    let shift = u32(i32(max(field, 1u)) - 1075 - scale);
    let bits = shift % 32u;
    // Shifted in two steps, as 32 places at once would be none.
    let magnitude = vec4<u32>(
        words.x << bits,
        (high << bits) | ((words.x >> 1u) >> (31u - bits)),
        (high >> 1u) >> (31u - bits),
        0u,
    );
    accumulate(at, limbs, shift / 32u, magnitude, negative);
}
