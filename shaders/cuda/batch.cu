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

__device__ __forceinline__ bool bit_of(const u32* bits, u32 at) {
    return __ldg(&bits[at >> 5]) >> (at & 31) & 1;
}

// The order of doubles as that of integers: NaN above all, and with `same_zeros` both zeros alike.
__device__ __forceinline__ u64 ordered_double(u64 bits) {
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

__device__ __forceinline__ u32 ordered_float(u32 bits) {
    return bits >> 31 ? ~bits : bits | 1u << 31;
}

__device__ __forceinline__ u64 canonical_double(u64 bits) {
    if ((bits & ~(1ull << 63)) > 0x7ff0000000000000ull) return 0x7ff8000000000000ull;
    return bits == 1ull << 63 ? 0 : bits;
}
