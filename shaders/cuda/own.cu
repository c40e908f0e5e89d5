// Groups of a block's own, in its own memory: as many as it has room for, those that it meets first. They take the hot groups off
// the L2, and are merged into the table at the end.
//
// A word of all groups lies side by side, so that rows of different groups meet different banks. Sums are digits of fewer bits than
// a word has: an addition is one that nobody waits for, and carries are handed on before rows could fill a word (`settle`). Extremes
// are 64 bits. In front lie the number of groups, rows that they took and did not take, whether the table has room; then rows that
// warps keep for later, extremes, words, keys, slots.

#define GROUPS_THERE 0
#define HELD_HERE 1
#define MISSED_HERE 2
#define IS_ROOMY 3
#define LONGS_AT (FIRST + QUEUED)
#define WORDS_AT (LONGS_AT + 2 * OWN_LONGS * GROUPS)
#define KEYS_AT (WORDS_AT + OWN_WORDS * GROUPS)
#define SLOTS_AT (KEYS_AT + OWN_KEY * GROUPS)
#define NO_GROUP 0xffffffffu

__device__ __forceinline__ u32* word_of(u32* memory, u32 word, u32 group) { return memory + WORDS_AT + word * GROUPS + group; }

__device__ __forceinline__ u64* long_of(u32* memory, u32 number, u32 group) { return (u64*)(memory + LONGS_AT) + number * GROUPS + group; }

__device__ __forceinline__ u32 own_hash_of(const u32* key) {
    u32 hash = 0;
#pragma unroll
    for (int word = 0; word < OWN_KEY; word++) {
        hash = (hash ^ key[word]) * 0x9e3779b1u;
        hash ^= hash >> 15;
    }
    hash *= 0x85ebca6bu;
    return hash ^ hash >> 13;
}

// The number of a key's group, or NO_GROUP if there are `most` already or its slots are taken. A slot holds 0 (nobody), 1 (somebody
// writes the key), or the high half of the key's hash over the number plus two.
__device__ __forceinline__ u32 own_group(u32* memory, const u32* key, u32 most) {
    const u32 hash = own_hash_of(key);
    const u32 tag = hash & 0xffff0000u;
    u32 at = hash & (SLOTS - 1);
    for (u32 probe = 0; probe < PROBES; probe++) {
        u32* slot = memory + SLOTS_AT + at;
        u32 there = *(volatile u32*)slot;
        while (there == EMPTY || there == CLAIMED) {
            if (there == EMPTY) {
                if (*(volatile u32*)&memory[GROUPS_THERE] >= most) return NO_GROUP;
                there = atomicCAS(slot, EMPTY, CLAIMED);
                if (there == EMPTY) {
                    const u32 group = atomicAdd(&memory[GROUPS_THERE], 1u);
                    if (group >= most) {
                        atomicSub(&memory[GROUPS_THERE], 1u);
                        atomicExch(slot, EMPTY);
                        return NO_GROUP;
                    }
                    for (int number = 0; number < OWN_LONGS; number++) *(volatile u64*)long_of(memory, number, group) = 0;
                    for (int word = 0; word < OWN_WORDS; word++) *(volatile u32*)word_of(memory, word, group) = 0;
#pragma unroll
                    for (int word = 0; word < OWN_KEY; word++) *(volatile u32*)&memory[KEYS_AT + word * GROUPS + group] = key[word];
                    __threadfence_block();
                    atomicExch(slot, tag | group + 2);
                    return group;
                }
            } else {
                there = *(volatile u32*)slot;
            }
        }
        if ((there & 0xffff0000u) == tag) {
            const u32 group = (there & 0xffff) - 2;
            bool same = true;
#pragma unroll
            for (int word = 0; word < OWN_KEY; word++) same &= *(volatile u32*)&memory[KEYS_AT + word * GROUPS + group] == key[word];
            if (same) return group;
        }
        at = (at + 1) & (SLOTS - 1);
    }
    return NO_GROUP;
}

// The digit at a place of (high · 2^64 + low).
__device__ __forceinline__ u32 digit_of(u64 low, u64 high, int place) {
    const int bit = DIGIT * place;
    const u64 from = bit >= 64 ? high >> (bit - 64 & 63) : low >> bit | (bit + DIGIT > 64 ? high << (64 - bit & 63) : 0);
    return (u32)from & (1u << DIGIT) - 1;
}

// Adds ±(high · 2^64 + low) · 2^(DIGIT · first), of N digits at most.
template <int N>
__device__ __forceinline__ void add_digits(u32* digits, u64 low, u64 high, u32 first, bool negative) {
    digits += first * GROUPS;
#pragma unroll
    for (int i = 0; i < N; i++) {
        const u32 digit = digit_of(low, high, i);
        if (digit) atomicAdd(&digits[i * GROUPS], negative ? 0u - digit : digit);
    }
}

// A double, which is a number, to sums whose first digit is the `low`th above the scale.
template <bool SQUARES>
__device__ __forceinline__ void add_double_digits(u32* sum, u32* squares, u64 bits, i32 scale, u32 low) {
    u64 mantissa;
    u32 shift;
    bool negative;
    parts_of(bits, scale, mantissa, shift, negative);
    if (mantissa == 0) return;
    shift -= DIGIT * low;
    const u32 up = shift % DIGIT;
    add_digits<(MANTISSA + 2 * DIGIT - 2) / DIGIT>(sum, mantissa << up, mantissa >> 1 >> (63 - up), shift / DIGIT, negative);
    if (SQUARES) {
        const u64 below = mantissa * mantissa, above = __umul64hi(mantissa, mantissa);
        const u32 up = 2 * shift % DIGIT;
        const u64 high = above << up | below >> 1 >> (63 - up);
        add_digits<(2 * MANTISSA + 2 * DIGIT - 2) / DIGIT>(squares, below << up, high, 2 * shift / DIGIT, false);
    }
}

// Hands carries on.
template <int DIGITS>
__device__ __forceinline__ void settle(u32* digits) {
    i32 carry = 0;
#pragma unroll
    for (int i = 0; i < DIGITS - 1; i++) {
        const i32 all = (i32)digits[i * GROUPS] + carry;
        digits[i * GROUPS] = all & (1 << DIGIT) - 1;
        carry = all >> DIGIT;
    }
    digits[(DIGITS - 1) * GROUPS] += (u32)carry;
}

// Limbs that hold so many digits, moved up to where a limb begins, with a sign.
#define LIMBS_OF(digits) ((DIGIT * ((digits) - 1) + 32 + 64 + 63) / 64)

// Digits as a number in two's complement, and whether it is below zero.
template <int DIGITS, int N>
__device__ __forceinline__ bool number_of(const u32* digits, u64 (&value)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) value[i] = 0;
    i32 carry = 0;
#pragma unroll
    for (int i = 0; i < DIGITS - 1; i++) {
        const i32 all = (i32)digits[i * GROUPS] + carry;
        const u64 digit = all & (1 << DIGIT) - 1;
        const int limb = DIGIT * i / 64, bit = DIGIT * i % 64;
        value[limb] |= digit << bit;
        if (bit + DIGIT > 64) value[limb + 1] |= digit >> (64 - bit & 63);
        carry = all >> DIGIT;
    }
    // The last has no digit above it: it is as large as it is.
    const i64 top = (i64)(i32)digits[(DIGITS - 1) * GROUPS] + carry;
    const int limb = DIGIT * (DIGITS - 1) / 64, bit = DIGIT * (DIGITS - 1) % 64;
    value[limb] |= (u64)top << bit;
#pragma unroll
    for (int i = limb + 1; i < N; i++) value[i] = (u64)(i == limb + 1 && bit ? top >> (64 - bit & 63) : top >> 63);
    return top < 0;
}

template <int N>
__device__ __forceinline__ void negate(u64 (&value)[N]) {
    bool carry = true;
#pragma unroll
    for (int i = 0; i < N; i++) {
        value[i] = ~value[i] + carry;
        carry = carry && value[i] == 0;
    }
}

// Begins to add digits, whose first is the `low`th above the scale, to limbs.
template <int DIGITS, int LIMBS, int N>
__device__ __forceinline__ void merge_digits(Adding<LIMBS, N>& adding, u32* sum, const u32* digits, u32 low) {
    u64 value[N];
    const bool negative = number_of<DIGITS>(digits, value);
    if (negative) negate(value);
    const u32 up = DIGIT * low % 64;
#pragma unroll
    for (int i = N - 1; i >= 0; i--) value[i] = value[i] << up | (i ? value[i - 1] >> 1 >> (63 - up) : 0);
    adding.begin(sum, DIGIT * low / 64, value, negative);
}

// Likewise the digits of how far `rows` integers are from `base`, which may be below zero if it is `SIGNED`.
template <int DIGITS, bool SIGNED, int LIMBS, int N>
__device__ __forceinline__ void merge_distances(Adding<LIMBS, N>& adding, u32* sum, const u32* digits, u64 base, u32 rows) {
    u64 value[N];
    number_of<DIGITS>(digits, value);
    const bool below = SIGNED && base >> 63;
    const u64 low = base * rows;
    const u64 high = __umul64hi(base, rows) - (below ? rows : 0);
    value[0] += low;
    bool carry = value[0] < low;
    const u64 sign = SIGNED ? (u64)((i64)high >> 63) : 0;
#pragma unroll
    for (int i = 1; i < N; i++) {
        const u64 more = i == 1 ? high : sign;
        const u64 with = value[i] + carry;
        carry = with < value[i];
        value[i] = with + more;
        carry = carry || value[i] < more;
    }
    const bool negative = SIGNED && value[N - 1] >> 63;
    if (negative) negate(value);
    adding.begin(sum, 0, value, negative);
}

// The greatest of values that are ordered as they are; it only grows, so a row that does not beat an old one need not look at the new one.
__device__ __forceinline__ void win_own(u64* best, u64 ordered) {
    if (ordered > *(volatile u64*)best) atomicMax(best, ordered);
}
