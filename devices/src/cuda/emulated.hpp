// What CUDA has and C++ has not. Threads of a block are threads of the system, which the tests start; see `emulated.rs`.

#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)

struct Place { unsigned x; };
static thread_local Place threadIdx, blockIdx, blockDim, gridDim;
static thread_local void (*await_block)();
alignas(256) static unsigned block_memory[1 << 16];
#define SHARED_MEMORY(name) unsigned* name = block_memory
// The threads of a block are a warp.
#define WARP 4
#define PREFETCH(at)

static void __syncthreads() { await_block(); }
static void __syncwarp() { await_block(); }
static void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static void __threadfence_block() { __threadfence(); }

static unsigned votes[WARP];
static unsigned __ballot_sync(unsigned, unsigned vote) {
    votes[threadIdx.x] = vote;
    await_block();
    unsigned all = 0;
    for (int i = 0; i < WARP; i++) all |= (votes[i] ? 1u : 0u) << i;
    await_block();
    return all;
}
static unsigned __popc(unsigned word) { return __builtin_popcount(word); }

template <class T> struct Same { typedef T type; };
#define VALUE typename Same<T>::type value
template <class T> T atomicAdd(T* at, VALUE) { return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST); }
template <class T> T atomicSub(T* at, VALUE) { return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST); }
template <class T> T atomicOr(T* at, VALUE) { return __atomic_fetch_or(at, value, __ATOMIC_SEQ_CST); }
template <class T> T atomicExch(T* at, VALUE) { return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST); }
template <class T> T atomicCAS(T* at, typename Same<T>::type want, VALUE) {
    __atomic_compare_exchange_n(at, &want, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return want;
}
template <class T> T atomicMax(T* at, VALUE) {
    T old = __atomic_load_n(at, __ATOMIC_SEQ_CST);
    while (old < value && !__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    return old;
}

// Rounded to the nearest, and never fused with a product.
static float __fadd_rn(float a, float b) { return a + b; }
static double __dadd_rn(double a, double b) { return a + b; }

// Of the bytes of two words those that the digits of `which` number, the lowest first.
static unsigned __byte_perm(unsigned a, unsigned b, unsigned which) {
    const unsigned long long both = (unsigned long long)b << 32 | a;
    unsigned word = 0;
    for (int i = 0; i < 4; i++) word |= (unsigned)(both >> (which >> 4 * i & 7) * 8 & 255) << 8 * i;
    return word;
}

struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) ulonglong2 { unsigned long long x, y; };
#define LOAD_PAST_L1(to, at) to = *(const volatile uint4_words*)(at)
struct uint4_words { unsigned x, y, z, w; operator uint4() const volatile { return {x, y, z, w}; } };
template <class T> T __ldg(const T* at) { return *at; }
template <class T> T __ldcs(const T* at) { return *at; }

static unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static float __uint_as_float(unsigned bits) { float f; __builtin_memcpy(&f, &bits, 4); return f; }
static double __longlong_as_double(unsigned long long bits) {
    double value;
    __builtin_memcpy(&value, &bits, 8);
    return value;
}
static unsigned long long __double_as_longlong(double value) {
    unsigned long long bits;
    __builtin_memcpy(&bits, &value, 8);
    return bits;
}

typedef unsigned long long word;
typedef void (*Kernel)(word, word, word, word, word, word, word, word, word, word, word, word);

// Plays one thread. A kernel takes twelve arguments or fewer, all in 64 bits; those that it does not take are passed over.
extern "C" void play(word kernel, unsigned block, unsigned blocks, unsigned thread, unsigned threads, void (*sync)(), const word* a) {
    threadIdx.x = thread, blockIdx.x = block, blockDim.x = threads, gridDim.x = blocks;
    await_block = sync;
    ((Kernel)kernel)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]);
}
