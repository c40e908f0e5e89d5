// The kernels of a stage.

// What a warp does with rows that count. Those for which the block has no room wait until a warp has as many as threads: one of
// them would hold up all the others while it goes to the table.
struct Folding {
    u32* memory;
    u32* table;
    u64 mask;
    u32* groups;
    u32 limit;
    u32* status;
    u32* noted;
    u32 own;
    u32 lane;
    // Rows that this warp has tried on the block's own groups, and that those did not take.
    u32 tried, missed;
    // Rows of this warp that wait for the table, and the thread's own if it is among them.
    u32 waiting, row_waiting;
#if GROUPS
    // The row that is folded next, if there is one.
    bool is_loaded;
    Values loaded;
#endif

    __device__ __forceinline__ void into_table(const In& in, u32 row) {
        u32 key[KEY_WORDS];
        key_of(in, row, key);
        u32* bucket = find(table, mask, key, groups, limit);
        if (bucket) {
            atomicAdd(&bucket[ROWS_AT], 1u);
            fold_row(bucket + STATE_AT, in, row);
        } else {
            noted[atomicAdd(&status[NOTED], 1u)] = row;
        }
    }

#if GROUPS
    // Takes the rows that were loaded before.
    __device__ __forceinline__ void into_own(const In& in) {
        u32 group = NO_GROUP;
        if (is_loaded && is_plain(in, loaded)) {
            u32 key[OWN_KEY];
            own_key_of(in, loaded, key);
            group = own_group(memory, key, own);
        }
        // Those that found their group late go on with the others.
        __syncwarp();
        if (group != NO_GROUP) fold_own(memory, group, in, loaded);
        later(in, loaded.row, is_loaded && group == NO_GROUP);
    }

    __device__ __forceinline__ void later(const In& in, u32 row, bool is_late) {
        const u32 votes = __ballot_sync(0xffffffff, is_late);
        if (votes == 0) return;
        u32* more = memory + MISSES_AT + threadIdx.x - lane;
        if (is_late) more[__popc(votes & ((1u << lane) - 1))] = row;
        __syncwarp();
        const u32 before = waiting, all = before + __popc(votes);
        missed += __popc(votes);
        if (lane >= before && lane < all) row_waiting = more[lane - before];
        waiting = all;
        if (all >= WARP) {
            into_table(in, row_waiting);
            waiting = all - WARP;
            if (lane < waiting) row_waiting = more[WARP + lane - before];
        }
        __syncwarp();
    }
#endif

    // A row of each thread; `here`: it has one. While its values are on their way those of the row before are folded.
    __device__ __forceinline__ void operator()(const In& in, u32 row, bool here) {
#if GROUPS
        if (own) {
            Values values = loaded;
            if (here) values = values_of(in, row);
            into_own(in);
            loaded = values;
            is_loaded = here;
            tried += __popc(__ballot_sync(0xffffffff, here));
            return;
        }
#endif
        if (here) into_table(in, row);
    }
};

#if GROUPS
// Merges the block's own groups into the table.
__device__ __forceinline__ void merge_all(const Folding& to, const In& in) {
    for (u32 group = threadIdx.x; group < to.memory[GROUPS_THERE]; group += blockDim.x) {
        u32 key[KEY_WORDS];
        key_of_own(in, to.memory, group, key);
        u32* bucket = find(to.table, to.mask, key, to.groups, 0xffffffffu);
        atomicAdd(&bucket[ROWS_AT], *word_of(to.memory, 0, group));
        merge_own(bucket + STATE_AT, in, to.memory, group);
    }
}
#endif

// Folds the rows of a batch, or those of a list, which have passed the tests before, into the groups of the table. A block takes rows
// that lie side by side, whose panes are few; `own`: and has so many groups of its own at most.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
fold(const u8* __restrict__ batch, u32* table, u64 mask, u32* groups, u64 limit, u32* status, u32* noted,
     const u32* __restrict__ list, u64 listed, u64 own) {
    SHARED_MEMORY(memory);
    const In in = opened(batch);
    const u32 rows = list ? (u32)listed : ((const Batch*)batch)->rows;
    const u32 run = ((rows + gridDim.x - 1) / gridDim.x + WARP * ROWS - 1) / (WARP * ROWS) * (WARP * ROWS);
    // Rows are fewer than 2^31.
    const u32 begin = blockIdx.x * run;
    const u32 end = begin + run < rows ? begin + run : rows;
    const u32 lane = threadIdx.x % WARP;
    Folding fold_rows = {memory, table, mask, groups, (u32)limit, status, noted, (u32)own, lane};
#if GROUPS
    if (own) {
        for (u32 slot = threadIdx.x; slot < SLOTS; slot += blockDim.x) memory[SLOTS_AT + slot] = EMPTY;
        if (threadIdx.x == 0) {
            memory[GROUPS_THERE] = memory[HELD_HERE] = memory[MISSED_HERE] = 0;
            // Whether the table has room for what all blocks may merge into it; one in sixteen buckets stays free.
            memory[IS_ROOMY] = *(volatile u32*)groups + (u64)gridDim.x * own <= mask - mask / 16;
        }
        __syncthreads();
        if (!memory[IS_ROOMY]) own = fold_rows.own = 0;
    }
    u32 settled = begin;
#endif
#if FILTERED
    // Likewise rows that pass: few may do.
    u16* passing_rows = (u16*)(memory + PASSING_AT) + (threadIdx.x - lane) * ROWS;
    u32 waiting = 0, row_waiting = 0;
#endif
    const u32 step = blockDim.x * ROWS;
    for (u32 tile = begin; tile < end; tile += step) {
#if FILTERED
        const u32 first = tile + threadIdx.x * ROWS;
        u32 passed = 0;
        if (first < end) {
            if (list) {
                passed = (1u << ROWS) - 1;
            } else {
                prefetch(in, first + step, end);
#pragma unroll
                for (int i = 0; i < ROWS; i += 4) passed |= passing(in, first + i) << i;
            }
            if (end - first < ROWS) passed &= (1u << (end - first)) - 1;
        }
        u32 before, all;
        places_of(__popc(passed), lane, before, all);
        u16* place = passing_rows + before;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            if (passed >> i & 1) *place++ = (u16)(threadIdx.x * ROWS + i);
        }
        __syncwarp();
        all += waiting;
        u32 next = lane;
        auto row_of = [&](u32 at) {
            if (at < waiting) return row_waiting;
            const u32 row = tile + passing_rows[at - waiting];
            return list ? list[row] : row;
        };
        for (; next - lane + WARP <= all; next += WARP) fold_rows(in, row_of(next), true);
        if (next < all) row_waiting = row_of(next);
        waiting = all - (next - lane);
        __syncwarp();
#else
#pragma unroll 1
        for (int i = 0; i < ROWS; i++) {
            const u32 at = tile + i * blockDim.x + threadIdx.x;
            fold_rows(in, at >= end ? 0 : list ? list[at] : at, at < end);
        }
#endif
#if GROUPS && OWN_DIGITS
        if (own && tile - settled >= UNSETTLED * step) {
            __syncthreads();
            for (u32 group = threadIdx.x; group < memory[GROUPS_THERE]; group += blockDim.x) settle_own(memory, group);
            __syncthreads();
            settled = tile;
        }
#endif
    }
#if FILTERED
    fold_rows(in, row_waiting, lane < waiting);
#endif
#if GROUPS
    if (!own) return;
    fold_rows.into_own(in);
    if (lane < fold_rows.waiting) fold_rows.into_table(in, fold_rows.row_waiting);
    if (lane == 0) {
        atomicAdd(&memory[HELD_HERE], fold_rows.tried - fold_rows.missed);
        atomicAdd(&memory[MISSED_HERE], fold_rows.missed);
    }
    __syncthreads();
    merge_all(fold_rows, in);
    if (threadIdx.x == 0) {
        atomicAdd(&status[HELD], memory[HELD_HERE]);
        atomicAdd(&status[MISSED], memory[MISSED_HERE]);
    }
#endif
}

// Enters the groups of one table into another.
extern "C" __global__ void __launch_bounds__(MOVERS) enter(const u32* from, u64 buckets, u32* table, u64 mask, u32* groups) {
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < buckets; i += (u64)gridDim.x * blockDim.x) {
        const u32* bucket = from + i * BUCKET_WORDS;
        if (bucket[0] != EMPTY) enter_bucket(table, mask, bucket, groups);
    }
}

// Writes the groups of panes before `end` side by side, and enters the others into another table.
extern "C" __global__ void __launch_bounds__(MOVERS)
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
