// Exact sums: integers of as many limbs of 64 bits as a sum of 2^32 rows can need, in two's complement, lowest first.
//
// Each limb is an atomic of its own and hands its carry to the next: in whatever order the additions come, a limb wraps equally
// often, so the limbs are right when all rows are in, and need not be before.

// Adds ±value · 2^(64 · first); what leaves the last limb is the sign's and vanishes. All limbs are on their way to the L2 before the
// carry of one is looked at (`end`): it takes as long as some hundred instructions to come back.
template <int LIMBS, int N>
struct Adding {
    u64* sum;
    u32 first;
    bool negative;
    u64 value[N], old[N];

    __device__ __forceinline__ void begin(u32* words, u32 at, const u64 (&of)[N], bool below) {
        sum = (u64*)words, first = at, negative = below;
#pragma unroll
        for (int i = 0; i < N; i++) {
            value[i] = of[i];
            old[i] = 0;
            if (value[i] != 0 && first + i < LIMBS) old[i] = atomicAdd(&sum[first + i], negative ? 0 - value[i] : value[i]);
        }
    }

    __device__ __forceinline__ void end() {
#pragma unroll
        for (int i = 0; i < N; i++) {
            bool wrapped = first + i < LIMBS && (negative ? old[i] < value[i] : old[i] + value[i] < old[i]);
            for (u32 limb = first + i + 1; wrapped && limb < LIMBS; limb++) {
                const u64 before = atomicAdd(&sum[limb], negative ? ~0ull : 1ull);
                wrapped = negative ? before == 0 : before == ~0ull;
            }
        }
    }
};

template <int WORDS, int N>
__device__ __forceinline__ void add_limbs(u32* sum, u32 first, const u64 (&value)[N], bool negative) {
    Adding<WORDS / 2, N> adding;
    adding.begin(sum, first, value, negative);
    adding.end();
}

// (high · 2^64 + low) · 2^bits. The value has fewer than 107 bits, or `bits` is 0.
__device__ __forceinline__ void shifted(u64 (&value)[3], u64 low, u64 high, u32 bits) {
    value[0] = low << bits;
    value[1] = high << bits | (bits ? low >> (64 - bits) : 0);
    value[2] = bits ? high >> (64 - bits) : 0;
}

// Adds ±(mantissa · 2^shift), and the square of it where squares are kept: both are on their way before a carry is looked at.
template <int SUM, int SQUARES>
__device__ __forceinline__ void add_with_square(u32* sum, u64 mantissa, u32 shift, bool negative) {
    u64 value[3], square[3];
    Adding<SUM / 2, 3> adding;
    Adding<SQUARES ? SQUARES / 2 : 1, 3> squaring;
    shifted(value, mantissa, 0, shift & 63);
    adding.begin(sum, shift >> 6, value, negative);
    if (SQUARES) {
        shifted(square, mantissa * mantissa, __umul64hi(mantissa, mantissa), 2 * shift & 63);
        squaring.begin(sum + SUM, 2 * shift >> 6, square, false);
    }
    adding.end();
    if (SQUARES) squaring.end();
}

// Adds a value of 128 bits at a limb.
template <int WORDS>
__device__ __forceinline__ void add_at(u32* sum, u64 low, u64 high, u32 first) {
    const u64 value[2] = {low, high};
    add_limbs<WORDS>(sum, first, value, false);
}

__device__ __forceinline__ bool is_number(u64 bits) { return ((u32)(bits >> 52) & 0x7ff) != 0x7ff; }

// A double, which is a number, as ±mantissa · 2^shift over the scale of its column.
__device__ __forceinline__ void parts_of(u64 bits, i32 scale, u64& mantissa, u32& shift, bool& negative) {
    const u32 field = (u32)(bits >> 52) & 0x7ff;
    const u64 fraction = bits & 0xfffffffffffffull;
    negative = bits >> 63;
    mantissa = field ? fraction | 1ull << 52 : fraction;
    shift = mantissa ? (u32)((i32)(field ? field : 1) - 1075 - scale) : 0;
}

// A state of sums is how many rows took no part, a word of flags, and the limbs: `SUM` words of the sum, `SQUARES` of the squares.
template <int SUM, int SQUARES>
__device__ __forceinline__ void add_double(u32* state, u64 bits, i32 scale) {
    if (!is_number(bits)) {
        // NaN, and the infinities.
        atomicOr(&state[1], bits & 0xfffffffffffffull ? 2u : bits >> 63 ? 8u : 4u);
        return;
    }
    u64 mantissa;
    u32 shift;
    bool negative;
    parts_of(bits, scale, mantissa, shift, negative);
    add_with_square<SUM, SQUARES>(state + 2, mantissa, shift, negative);
}

// Integers of up to 64 bits, by their sign and magnitude.
template <int SUM, int SQUARES>
__device__ __forceinline__ void add_integer(u32* state, u64 magnitude, bool negative) {
    add_with_square<SUM, SQUARES>(state + 2, magnitude, 0, negative);
}

// Integers of 128 bits in two's complement.
template <int SUM, int SQUARES>
__device__ __forceinline__ void add_wide(u32* state, u64 low, u64 high) {
    const bool negative = high >> 63;
    if (negative) {
        low = 0 - low;
        high = ~high + (low == 0);
    }
    const u64 value[2] = {low, high};
    add_limbs<SUM>(state + 2, 0, value, negative);
    if (SQUARES) {
        // (h·2^64 + l)² = l² + 2·h·l·2^64 + h²·2^128, and below 2^256 since the magnitude is at most 2^127.
        u32* squares = state + 2 + SUM;
        add_at<SQUARES ? SQUARES : 2>(squares, low * low, __umul64hi(low, low), 0);
        add_at<SQUARES ? SQUARES : 2>(squares, low * high, __umul64hi(low, high), 1);
        add_at<SQUARES ? SQUARES : 2>(squares, low * high, __umul64hi(low, high), 1);
        add_at<SQUARES ? SQUARES : 2>(squares, high * high, __umul64hi(high, high), 2);
    }
}

// MIN and MAX of up to 64 bits: the greatest of what is ordered as they are (MAX) or the other way round (MIN); where that is 0, which
// nothing is as well, the word before says that it is there. Nobody waits for what is there: to look takes as long as to do it.
__device__ __forceinline__ void win(u32* state, u64 ordered) {
    if (ordered) {
        atomicMax((u64*)(state + 2), ordered);
    } else {
        atomicOr(&state[1], 1u);
    }
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
    if (from[0]) atomicAdd(&into[0], from[0]);
    if (from[1]) atomicOr(&into[1], from[1]);
    u64 value[(SUM + SQUARES) / 2];
#pragma unroll
    for (int i = 0; i < (SUM + SQUARES) / 2; i++) value[i] = ((const u64*)(from + 2))[i];
    u64 sum[SUM / 2];
#pragma unroll
    for (int i = 0; i < SUM / 2; i++) sum[i] = value[i];
    add_limbs<SUM>(into + 2, 0, sum, false);
    if (SQUARES) {
        u64 squares[SQUARES ? SQUARES / 2 : 1];
#pragma unroll
        for (int i = 0; i < SQUARES / 2; i++) squares[i] = value[SUM / 2 + i];
        add_limbs<SQUARES ? SQUARES : 2>(into + 2 + SUM, 0, squares, false);
    }
}
