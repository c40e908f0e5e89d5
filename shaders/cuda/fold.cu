// The kernels of a stage.

// Folds the rows of a batch, or those of a list, into the groups of the table. Blocks keep the groups that they meet first
// in their own memory (`slots` buckets; 0: they do not), which takes the hot ones off the L2, and merge them in at the end.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
fold(const u8* __restrict__ batch, u32* table, u64 mask, u32* groups, u64 limit, u32* status, u32* noted,
     const u32* __restrict__ list, u64 listed, u64 slots) {
    SHARED_MEMORY(local);
    const In in = opened(batch);
    for (u32 word = threadIdx.x; word < slots * BUCKET_WORDS; word += blockDim.x) local[word] = 0;
    __syncthreads();
    const u32 rows = list ? (u32)listed : ((const Batch*)batch)->rows;
    const u32 stride = gridDim.x * blockDim.x;
    u32 held = 0, missed = 0;
    // Some rows at a time, so that many loads are on their way: first all tests, then what passes.
    for (u32 first = blockIdx.x * blockDim.x + threadIdx.x; first < rows; first += AT_A_TIME * stride) {
        u32 passed = 0;
#pragma unroll
        for (int i = 0; i < AT_A_TIME; i++) {
            const u32 at = first + i * stride;
            if (at < rows && passes(in, list ? list[at] : at)) passed |= 1u << i;
        }
        for (int i = 0; i < AT_A_TIME; i++) {
            if (!(passed >> i & 1)) continue;
            const u32 row = list ? list[first + i * stride] : first + i * stride;
            u32 key[KEY_WORDS];
            key_of(in, row, key);
            const u32 hash = hash_of(key);
            if (slots) {
                // Other bits than those that find the place in the large table.
                u32* bucket = find(local, slots - 1, key, hash >> 7 | hash << 25, PROBES, 0, 0);
                if (bucket) {
                    fold_row<u32>(bucket + STATE_AT, in, row);
                    held++;
                    continue;
                }
                missed++;
            }
            u32* bucket = find(table, mask, key, hash, 0xffffffffu, groups, (u32)limit);
            if (bucket) {
                fold_row<u64>(bucket + STATE_AT, in, row);
            } else {
                noted[atomicAdd(&status[NOTED], 1u)] = row;
            }
        }
    }
    __syncthreads();
    for (u32 slot = threadIdx.x; slot < slots; slot += blockDim.x) {
        const u32* bucket = local + slot * BUCKET_WORDS;
        if (bucket[0] != EMPTY) enter_bucket(table, mask, bucket, groups);
    }
    if (held) atomicAdd(&status[HELD], held);
    if (missed) atomicAdd(&status[MISSED], missed);
}

// Enters the groups of one table into another.
extern "C" __global__ void __launch_bounds__(THREADS, 2) enter(const u32* from, u64 buckets, u32* table, u64 mask, u32* groups) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < buckets; i += (u64)gridDim.x * blockDim.x) {
        const u32* bucket = from + i * BUCKET_WORDS;
        if (bucket[0] != EMPTY) enter_bucket(table, mask, bucket, groups);
    }
}

// Writes the groups of panes before `end` side by side, and enters the others into another table.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
take(const u32* from, u64 buckets, u32* table, u64 mask, u32* groups, u32* taken, u32* out, i64 end) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < buckets; i += (u64)gridDim.x * blockDim.x) {
        const u32* bucket = from + i * BUCKET_WORDS;
        if (bucket[0] == EMPTY) continue;
        if ((i64)(i32)bucket[KEY_AT + PANE_WORD] < end) {
            u32* to = out + (u64)atomicAdd(taken, 1u) * BUCKET_WORDS;
            for (int word = 0; word < BUCKET_WORDS; word++) to[word] = bucket[word];
        } else {
            enter_bucket(table, mask, bucket, groups);
        }
    }
}
