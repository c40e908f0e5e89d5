// Exact sums: integers of as many limbs as a sum of 2^32 rows can need, in two's complement, lowest first.
//
// A limb is 64 bits in device memory, where the L2 adds 64 bits as fast as 32, and 32 bits in a block's own memory, where
// an addition of 64 bits is a loop of compare-and-swap (sm_90: ATOMS.CAST.SPIN.64). Both lie on the same words. Each limb is
// an atomic of its own and hands its carry to the next: in whatever order the additions come, a limb wraps equally often, so the
// limbs are right when all rows are in, and need not be before.

// Adds ±value · 2^(bits of a limb · first); what leaves the last limb is the sign's and vanishes.
template <class Limb, int LIMBS, int N>
__device__ __forceinline__ void add_limbs(Limb* sum, u32 first, const Limb (&value)[N], bool negative) {
    Limb carry = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
        const Limb word = value[i] + carry;
        const Limb wrapped = word < carry;
        if (word == 0 || first + i >= LIMBS) {
            carry = wrapped;
            continue;
        }
        const Limb old = atomicAdd(&sum[first + i], negative ? (Limb)0 - word : word);
        carry = wrapped | (Limb)(negative ? old < word : (Limb)(old + word) < old);
    }
    for (u32 limb = first + N; carry != 0 && limb < LIMBS; limb++) {
        const Limb old = atomicAdd(&sum[limb], negative ? (Limb)0 - carry : carry);
        carry = negative ? old == 0 : (Limb)(old + 1) == 0;
    }
}

// Adds ±(high · 2^64 + low) · 2^shift. The value has fewer than 107 bits, or `shift` is 0.
template <int WORDS>
__device__ __forceinline__ void add_shifted(u32* sum, u64 low, u64 high, u32 shift, bool negative) {
    const u32 bits = shift & 31;
    const u64 a = low << bits;
    const u64 b = high << bits | (bits ? low >> (64 - bits) : 0);
    const u32 value[5] = {(u32)a, (u32)(a >> 32), (u32)b, (u32)(b >> 32), bits ? (u32)(high >> (64 - bits)) : 0};
    add_limbs<u32, WORDS>(sum, shift >> 5, value, negative);
}

template <int WORDS>
__device__ __forceinline__ void add_shifted(u64* sum, u64 low, u64 high, u32 shift, bool negative) {
    const u32 bits = shift & 63;
    const u64 value[3] = {
        low << bits,
        high << bits | (bits ? low >> (64 - bits) : 0),
        bits ? high >> (64 - bits) : 0,
    };
    add_limbs<u64, WORDS / 2>(sum, shift >> 6, value, negative);
}

// Adds a value of 128 bits at a limb.
template <int WORDS>
__device__ __forceinline__ void add_at(u32* sum, u64 low, u64 high, u32 first) {
    const u32 value[4] = {(u32)low, (u32)(low >> 32), (u32)high, (u32)(high >> 32)};
    add_limbs<u32, WORDS>(sum, first, value, false);
}

template <int WORDS>
__device__ __forceinline__ void add_at(u64* sum, u64 low, u64 high, u32 first) {
    const u64 value[2] = {low, high};
    add_limbs<u64, WORDS / 2>(sum, first, value, false);
}

// A double as ±mantissa · 2^shift over the scale of its column. False, and a flag left (2 for NaN, 4 and 8 for the
// infinities), if it is no number.
__device__ __forceinline__ bool taken_apart(u64 bits, i32 scale, u32* flags, u64& mantissa, u32& shift, bool& negative) {
    const u32 field = (u32)(bits >> 52) & 0x7ff;
    const u64 fraction = bits & 0xfffffffffffffull;
    negative = bits >> 63;
    if (field == 0x7ff) {
        atomicOr(flags, fraction ? 2u : negative ? 8u : 4u);
        return false;
    }
    mantissa = field ? fraction | 1ull << 52 : fraction;
    shift = mantissa ? (u32)((i32)(field ? field : 1) - 1075 - scale) : 0;
    return true;
}

// A state of sums is a count, a word of flags, and the limbs: `SUM` words of the sum, `SQUARES` of the squares.
template <class Limb, int SUM, int SQUARES>
__device__ __forceinline__ void add_double(u32* state, u64 bits, i32 scale) {
    atomicAdd(&state[0], 1u);
    u64 mantissa;
    u32 shift;
    bool negative;
    if (!taken_apart(bits, scale, &state[1], mantissa, shift, negative)) return;
    add_shifted<SUM>((Limb*)(state + 2), mantissa, 0, shift, negative);
    if (SQUARES) {
        const u64 high = __umul64hi(mantissa, mantissa);
        add_shifted<SQUARES ? SQUARES : 2>((Limb*)(state + 2 + SUM), mantissa * mantissa, high, 2 * shift, false);
    }
}

// Integers of up to 64 bits, by their sign and magnitude.
template <class Limb, int SUM, int SQUARES>
__device__ __forceinline__ void add_integer(u32* state, u64 magnitude, bool negative) {
    atomicAdd(&state[0], 1u);
    add_shifted<SUM>((Limb*)(state + 2), magnitude, 0, 0, negative);
    if (SQUARES) {
        const u64 high = __umul64hi(magnitude, magnitude);
        add_shifted<SQUARES ? SQUARES : 2>((Limb*)(state + 2 + SUM), magnitude * magnitude, high, 0, false);
    }
}

// Integers of 128 bits in two's complement.
template <class Limb, int SUM, int SQUARES>
__device__ __forceinline__ void add_wide(u32* state, u64 low, u64 high) {
    atomicAdd(&state[0], 1u);
    const bool negative = high >> 63;
    if (negative) {
        low = 0 - low;
        high = ~high + (low == 0);
    }
    add_shifted<SUM>((Limb*)(state + 2), low, high, 0, negative);
    if (SQUARES) {
        // (h·2^64 + l)² = l² + 2·h·l·2^64 + h²·2^128, and below 2^256 since the magnitude is at most 2^127.
        Limb* squares = (Limb*)(state + 2 + SUM);
        const u32 limb_of_64 = 64 / (8 * sizeof(Limb));
        add_at<SQUARES ? SQUARES : 2>(squares, low * low, __umul64hi(low, low), 0);
        add_at<SQUARES ? SQUARES : 2>(squares, low * high, __umul64hi(low, high), limb_of_64);
        add_at<SQUARES ? SQUARES : 2>(squares, low * high, __umul64hi(low, high), limb_of_64);
        add_at<SQUARES ? SQUARES : 2>(squares, high * high, __umul64hi(high, high), 2 * limb_of_64);
    }
}

// MIN and MAX of up to 64 bits: whether there is a value, and the greatest of what is ordered as they are (MAX) or the other
// way round (MIN). It only grows, so a row that does not beat an old value need not look at the new one.
__device__ __forceinline__ void win(u32* state, u64 ordered) {
    if (*(volatile u32*)&state[1] == 0) atomicExch(&state[1], 1u);
    u64* best = (u64*)(state + 2);
    if (ordered > *(volatile u64*)best) atomicMax(best, ordered);
}

// Of 128 bits, under a lock: the first word.
__device__ __forceinline__ void win_wide(u32* state, u64 low, u64 high) {
    volatile u64* best = (volatile u64*)(state + 2);
    bool done = false;
    while (!done) {
        if (atomicCAS(&state[0], 0u, 1u) == 0) {
            __threadfence();
            const bool first = *(volatile u32*)&state[1] == 0;
            if (first || high > best[1] || (high == best[1] && low > best[0])) {
                best[0] = low;
                best[1] = high;
                *(volatile u32*)&state[1] = 1;
            }
            __threadfence();
            atomicExch(&state[0], 0u);
            done = true;
        }
    }
}

// Of two states, one of which nobody changes any more.
template <int SUM, int SQUARES>
__device__ __forceinline__ void merge_sums(u32* into, const u32* from) {
    atomicAdd(&into[0], from[0]);
    if (from[1]) atomicOr(&into[1], from[1]);
    u64 value[(SUM + SQUARES) / 2];
#pragma unroll
    for (int i = 0; i < (SUM + SQUARES) / 2; i++) value[i] = ((const u64*)(from + 2))[i];
    u64 sum[SUM / 2];
#pragma unroll
    for (int i = 0; i < SUM / 2; i++) sum[i] = value[i];
    add_limbs<u64, SUM / 2>((u64*)(into + 2), 0, sum, false);
    if (SQUARES) {
        u64 squares[SQUARES ? SQUARES / 2 : 1];
#pragma unroll
        for (int i = 0; i < SQUARES / 2; i++) squares[i] = value[SUM / 2 + i];
        add_limbs<u64, SQUARES ? SQUARES / 2 : 1>((u64*)(into + 2 + SUM), 0, squares, false);
    }
}
