// The batch at hand, as the host has packed it: this header, then the columns, each at an offset from the header.
//
// No #include anywhere: what NVRTC has to read is what is in these files and the lines generated between them.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;
typedef long long i64;

struct Column {
    u64 values;   // bytes from the header to the values
    u64 present;  // likewise to a bit a row that takes part; 0: all do
    u64 members;  // likewise to a bit a value that passes a test
    u64 base;     // added to every value
    i32 scale;    // of doubles that are summed: sums are multiples of two to this power
    u32 known;    // values below this have a bit in `members`
    u32 low;      // digits of a sum that no double of this batch reaches down to
    u32 _unused;
};

struct Batch {
    u32 rows;
    i32 pane;     // number of the pane that the base of the times is in, from the table's first
    u32 into;     // ticks from that pane's beginning to the base of the times
    u32 _unused;
    i64 origin;   // number of the table's first pane
    u64 constants[CONSTANTS];
    Column columns[COLUMNS];
};

// Four values side by side, which begin where four of them are aligned.
__device__ __forceinline__ void four(const u8* at, u64* values) {
    const u32 all = __ldg((const u32*)at);
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] = all >> 8 * i & 0xff;
}

__device__ __forceinline__ void four(const u16* at, u64* values) {
    const uint2 all = __ldg((const uint2*)at);
    values[0] = all.x & 0xffff, values[1] = all.x >> 16, values[2] = all.y & 0xffff, values[3] = all.y >> 16;
}

__device__ __forceinline__ void four(const u32* at, u64* values) {
    const uint4 all = __ldg((const uint4*)at);
    values[0] = all.x, values[1] = all.y, values[2] = all.z, values[3] = all.w;
}

__device__ __forceinline__ void four(const u64* at, u64* values) {
    const ulonglong2 low = __ldg((const ulonglong2*)at), high = __ldg((const ulonglong2*)at + 1);
    values[0] = low.x, values[1] = low.y, values[2] = high.x, values[3] = high.y;
}

__device__ __forceinline__ bool bit_of(const u32* bits, u32 at) {
    return __ldg(&bits[at >> 5]) >> (at & 31) & 1;
}

// How many of the counts of a warp, each at most ROWS, stand before a thread's own, and how many all are.
__device__ __forceinline__ void places_of(u32 count, u32 lane, u32& before, u32& all) {
    before = all = 0;
#pragma unroll
    for (int bit = 0; 1 << bit <= ROWS; bit++) {
        const u32 votes = __ballot_sync(0xffffffff, count >> bit & 1);
        before += __popc(votes & ((1u << lane) - 1)) << bit;
        all += __popc(votes) << bit;
    }
}

// The order of doubles as that of integers: NaN above all.
__device__ __forceinline__ u64 ordered_double(u64 bits) {
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

__device__ __forceinline__ u32 ordered_float(u32 bits) {
    return bits >> 31 ? ~bits : bits | 1u << 31;
}
