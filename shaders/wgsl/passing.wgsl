// Tests of a row: values and constants become two words each, the upper one first, that are ordered as they are. The
// host makes the constants' words.

fn ordered_integer(value: vec4<u32>) -> vec2<u32> {
    return vec2<u32>(value.y ^ 0x80000000u, value.x);
}

// Doubles by their bits: every NaN is the one above all, and -0.0 is 0.0.
fn ordered_double(words: vec2<u32>) -> vec2<u32> {
    let magnitude = words.y & 0x7fffffffu;
    if magnitude > 0x7ff00000u || (magnitude == 0x7ff00000u && words.x != 0u) {
        return vec2<u32>(ALL_ONES, ALL_ONES);
    }
    if magnitude == 0u && words.x == 0u {
        return vec2<u32>(0x80000000u, 0u);
    }
    let sign = sign_of(words.y);
    return vec2<u32>(words.y ^ (sign | 0x80000000u), words.x ^ sign);
}

// Below 0, 0 or above, as the value is below the constant, equal or above.
fn compared(value: vec2<u32>, constant: vec2<u32>) -> i32 {
    if value.x != constant.x {
        return select(1, -1, value.x < constant.x);
    }
    if value.y != constant.y {
        return select(1, -1, value.y < constant.y);
    }
    return 0;
}

// Whether the code of a row is one of those that pass.
fn is_member(column: u32, row: u32) -> bool {
    let code = load_one(column, row);
    return ((batch[batch[6u + 3u * column] + code / 32u] >> (code % 32u)) & 1u) == 1u;
}
