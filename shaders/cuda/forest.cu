// Rows down the trees of a forest (`pelton_models::ByteForest`): what their leaves add up to, or where they end. The ends are those of
// shaders/wgsl/forest.wgsl.
//
// Plain idea: a thread takes a row from node to node, tree by tree, and adds the leaf. Departures: trees come in chunks that fit into a
// block's own memory; a block takes all its rows through a chunk before it loads the next. The nodes of a level lie side by side, so that
// up to the sixth no two that threads ask for at once are in one bank; and a row's bytes are in words of which each thread's are in a bank of
// its own. Every row takes as many steps as its tree has levels: no branch, and the warp would wait for its deepest row anyway.
//
// The sums have the bits of the processor: the leaves are added in the order of the trees, one row a thread, each sum rounded to the
// nearest by ADD (`__fadd_rn` or `__dadd_rn`, which are never fused), and subnormal numbers are kept. Only which NaN an operation
// gives differs; forests in which one could arise are not given to `add`.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

// Trees of one group, side by side: their descriptions, then nodes, then what leaves add, by node.
struct Chunk {
    u32 first_tree, trees;
    u32 at;      // words from the image to the chunk
    u32 words;   // of it; so many are brought to the block's own memory
    u32 fits;    // 0: it is larger than that, and stays where it is
    u32 first_column, columns;
};

// Words from the chunk to nodes and leaves, the sum that the leaves go to, steps from the root to the last leaf.
struct Tree {
    u32 nodes, leaves, sum, depth;
};

// Where a row ends in some trees at once, so that the loads of one hide those of the other. A node: the place of its left child; what a
// byte is at most to go there, and not to the next; the column of its group. A leaf is its own left child, to which every byte goes.
// Bytes are compared where they lie, at the top of a word: what is below them in the node's is all ones.
template <int N>
__device__ __forceinline__ void ends_of(const u32* held, const Tree* trees, const u32* row, u32* at) {
    const u32* nodes[N];
    const u32* node_at[N];
    u32 depth = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
        nodes[i] = node_at[i] = held + trees[i].nodes;
        if (trees[i].depth > depth) depth = trees[i].depth;
    }
    for (u32 level = 0; level < depth; level++) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            const u32 node = *node_at[i];
            const u32 byte = row[(node >> 26) * blockDim.x] << (node >> 21 & 0x18);
            node_at[i] = nodes[i] + (node & 0xffff);
            if (byte > __byte_perm(node, 0xffffffff, 0x2444)) node_at[i]++;
        }
    }
#pragma unroll
    for (int i = 0; i < N; i++) at[i] = node_at[i] - nodes[i];
}

// A row's bytes to the thread's own words, the first of four at the top.
__device__ __forceinline__ void bring(u32* row_words, const u8* __restrict__ bytes, const Chunk& chunk, u64 stride, u64 row) {
    for (u32 first = 0; first < chunk.columns; first += 4) {
        u32 word = 0;
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            if (first + i < chunk.columns) word |= (u32)bytes[(chunk.first_column + first + i) * stride + row] << (3 - i) * 8;
        }
        row_words[first / 4 * blockDim.x] = word;
    }
}

// Takes a row through a chunk, and tells a tree's end after the other.
template <class Tell>
__device__ __forceinline__ void walk(const u32* held, const Chunk& chunk, const u32* row_words, Tell& tell) {
    const Tree* trees = (const Tree*)held;
    u32 tree = 0;
    for (; tree + AT_A_TIME <= chunk.trees; tree += AT_A_TIME) {
        u32 at[AT_A_TIME];
        ends_of<AT_A_TIME>(held, trees + tree, row_words, at);
#pragma unroll
        for (int i = 0; i < AT_A_TIME; i++) tell(held, trees[tree + i], at[i]);
    }
    for (; tree < chunk.trees; tree++) {
        u32 at;
        ends_of<1>(held, trees + tree, row_words, &at);
        tell(held, trees[tree], at);
    }
}

// Adds the leaves of a row to its only sum.
struct AddOne {
    LEAF* to;
    LEAF sum;

    __device__ __forceinline__ AddOne(const AddOne& all, const Chunk&, const u32*, u64 row) : to(all.to + row), sum(*to) {}
    __device__ __forceinline__ AddOne(LEAF* to) : to(to) {}

    __device__ __forceinline__ void operator()(const u32* held, const Tree& tree, u32 at) {
        sum = ADD(sum, ((const LEAF*)(held + tree.leaves))[at]);
    }
    __device__ __forceinline__ void done() { *to = sum; }
};

// Adds the leaves of a row to its sums, which lie `stride` apart.
struct Add {
    LEAF* sums;
    u64 stride;
    u32 of;
    LEAF sum;

    __device__ __forceinline__ Add(const Add& all, const Chunk&, const u32* held, u64 row) : sums(all.sums + row), stride(all.stride) {
        of = ((const Tree*)held)->sum;
        sum = sums[of * stride];
    }
    __device__ __forceinline__ Add(LEAF* sums, u64 stride) : sums(sums), stride(stride) {}

    __device__ __forceinline__ void operator()(const u32* held, const Tree& tree, u32 at) {
        if (tree.sum != of) {
            sums[of * stride] = sum;
            of = tree.sum;
            sum = sums[of * stride];
        }
        sum = ADD(sum, ((const LEAF*)(held + tree.leaves))[at]);
    }
    __device__ __forceinline__ void done() { sums[of * stride] = sum; }
};

// Writes the ends of a row, `per_word` trees in a word. A word may have trees of two chunks.
struct Ends {
    u32* to;
    u64 stride;
    u32 per_word, place, word;

    __device__ __forceinline__ Ends(const Ends& all, const Chunk& chunk, const u32*, u64 row)
        : to(all.to + chunk.first_tree / all.per_word * all.stride + row), stride(all.stride), per_word(all.per_word) {
        place = chunk.first_tree % per_word;
        word = place ? *to : 0;
    }
    __device__ __forceinline__ Ends(u32* to, u64 stride, u32 per_word) : to(to), stride(stride), per_word(per_word) {}

    __device__ __forceinline__ void operator()(const u32*, const Tree&, u32 at) {
        word |= at << place * (32 / per_word);
        if (++place == per_word) {
            *to = word;
            to += stride, word = place = 0;
        }
    }
    __device__ __forceinline__ void done() {
        if (place) *to = word;
    }
};

template <class Tell>
__device__ __forceinline__ void
through(const Tell& all, const u8* __restrict__ bytes, u64 stride, u64 rows, const u32* __restrict__ image, const Chunk* chunks, u64 count) {
    SHARED_MEMORY(local);
    for (u64 at = 0; at < count; at++) {
        const Chunk chunk = chunks[at];
        u32* row_words = local + threadIdx.x;
        // Doubles lie at even words.
        u32* held = local + ((chunk.columns + 3) / 4 * blockDim.x + 1 & ~1u);
        if (chunk.fits) {
            // Nobody is on the way through the chunk before.
            __syncthreads();
            for (u32 word = threadIdx.x; word < chunk.words; word += blockDim.x) held[word] = image[chunk.at + word];
            __syncthreads();
        }
        for (u64 row = (u64)blockIdx.x * blockDim.x + threadIdx.x; row < rows; row += (u64)gridDim.x * blockDim.x) {
            bring(row_words, bytes, chunk, stride, row);
            if (chunk.fits) {
                Tell tell(all, chunk, held, row);
                walk(held, chunk, row_words, tell);
                tell.done();
            } else {
                Tell tell(all, chunk, image + chunk.at, row);
                walk(image + chunk.at, chunk, row_words, tell);
                tell.done();
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
add(const u8* bytes, u64 stride, u64 rows, const u32* image, const Chunk* chunks, u64 count, LEAF* sums, const LEAF* start, u64 width) {
    for (u64 row = (u64)blockIdx.x * blockDim.x + threadIdx.x; row < rows; row += (u64)gridDim.x * blockDim.x) {
        for (u64 sum = 0; sum < width; sum++) sums[sum * stride + row] = start[sum];
    }
    if (width == 1) {
        through(AddOne(sums), bytes, stride, rows, image, chunks, count);
    } else {
        through(Add(sums, stride), bytes, stride, rows, image, chunks, count);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
end(const u8* bytes, u64 stride, u64 rows, const u32* image, const Chunk* chunks, u64 count, u32* words, u64 per_word) {
    through(Ends(words, stride, (u32)per_word), bytes, stride, rows, image, chunks, count);
}
