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

// The product of two words, the lower word first.
fn product(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let left = (a >> 16u) * (b & 0xffffu);
    let right = (a & 0xffffu) * (b >> 16u);
    let middle = (low >> 16u) + (left & 0xffffu) + (right & 0xffffu);
    return vec2<u32>((low & 0xffffu) | (middle << 16u), (a >> 16u) * (b >> 16u) + (left >> 16u) + (right >> 16u) + (middle >> 16u));
}

fn square(value: vec4<u32>) -> array<u32, 8> {
    var words = array<u32, 4>(value.x, value.y, value.z, value.w);
    var all = array<u32, 8>();
    for (var i = 0u; i < 4u; i++) {
        var carry = 0u;
        for (var j = 0u; j < 4u; j++) {
            let both = product(words[i], words[j]);
            let low = both.x + carry;
            let sum = all[i + j] + low;
            carry = both.y + u32(low < carry) + u32(sum < low);
            all[i + j] = sum;
        }
        all[i + 4u] = carry;
    }
    return all;
}

// Adds the square of magnitude · 2^shift to `squares` limbs at `at`. The magnitude has fewer than 64 bits, or `shift` is 0.
fn accumulate_square(at: u32, squares: u32, magnitude: vec4<u32>, shift: u32) {
    if squares == 0u {
        return;
    }
    var words = square(magnitude);
    let bits = shift % 32u;
    let first = shift / 32u;
    // What goes up out of a word, in two steps, as 32 places at once would be none.
    let low = vec4<u32>(words[0], words[1], words[2], words[3]);
    let out = (low >> vec4<u32>(1u)) >> vec4<u32>(31u - bits);
    accumulate(at, squares, first, (low << vec4<u32>(bits)) | vec4<u32>(0u, out.xyz), false);
    let high = vec4<u32>(words[4], words[5], words[6], words[7]);
    accumulate(at, squares, first + 4u, (high << vec4<u32>(bits)) | vec4<u32>(out.w, 0u, 0u, 0u), false);
}

// Adds an integer to the sum of `limbs` limbs at `at`, and its square to the `squares` limbs behind them.
fn add_integer(at: u32, limbs: u32, squares: u32, value: vec4<u32>) {
    let negative = (value.w >> 31u) == 1u;
    var magnitude = value;
    if negative {
        magnitude = negated(value);
    }
    accumulate(at, limbs, 0u, magnitude, negative);
    accumulate_square(at + limbs, squares, magnitude, 0u);
}

// Likewise a double, which is an integer times a power of two: `scale` and up, as the host has seen to. What is no number
// leaves a flag behind all limbs: 2 for NaN, 4 and 8 for the infinities.
fn add_double(at: u32, limbs: u32, squares: u32, words: vec2<u32>, scale: i32) {
    let field = (words.y >> 20u) & 0x7ffu;
    let fraction = words.y & 0xfffffu;
    let negative = (words.y >> 31u) == 1u;
    if field == 0x7ffu {
        let infinity = select(4u, 8u, negative);
        atomicOr(&state[at + limbs + squares], select(2u, infinity, fraction == 0u && words.x == 0u));
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
    accumulate_square(at + limbs, squares, vec4<u32>(words.x, high, 0u, 0u), 2u * shift);
}
