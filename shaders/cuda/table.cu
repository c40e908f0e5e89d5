// Keys to buckets: open addressing, linear probing, a bucket being a tag, a lock, the key and the states of a group.
//
// A tag is 0 (nobody), 1 (somebody writes the key) or the key's hash with the second bit set. Who claims a bucket writes the key
// and then the tag; who finds it claimed waits, which threads of one warp may do since they are scheduled apart (sm_70). A
// key is read after its tag, past the L1 (volatile): it was at the L2 before the tag was.
//
// A row that needs a new bucket takes a ticket first. There are fewer tickets than buckets, by as many as the blocks may
// still flush, so a table is never full and a probe ends; a row without a ticket is noted for later.

#define EMPTY 0u
#define CLAIMED 1u
#define KEY_AT 2
#define STATE_AT (KEY_AT + KEY_WORDS)
#define BUCKET_WORDS (STATE_AT + STATE_WORDS)

// Words of a launch's status: rows that found no bucket, rows that the block's own memory took, rows that it did not take.
#define NOTED 0
#define HELD 1
#define MISSED 2

// The finaliser of MurmurHash3 over each word.
__device__ __forceinline__ u32 hash_of(const u32* key) {
    u32 hash = 0x9e3779b9u;
#pragma unroll
    for (int word = 0; word < KEY_WORDS; word++) {
        hash = (hash ^ key[word]) * 0x85ebca6bu;
        hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
        hash ^= hash >> 16;
    }
    return hash;
}

// The bucket of a key; 0 if there is none after `probes`, or no ticket was left for it. `groups` counts, if given.
__device__ __forceinline__ u32* find(u32* table, u64 mask, const u32* key, u32 hash, u32 probes, u32* groups, u32 limit) {
    const u32 tag = hash | 2u;
    u64 at = hash & mask;
    bool ticket = false;
    for (u32 probe = 0; probe < probes; probe++) {
        u32* bucket = table + at * BUCKET_WORDS;
        u32 there = *(volatile u32*)bucket;
        while (there == EMPTY || there == CLAIMED) {
            if (there == EMPTY) {
                if (groups && !ticket) {
                    if (atomicAdd(groups, 1u) >= limit) {
                        atomicSub(groups, 1u);
                        return 0;
                    }
                    ticket = true;
                }
                there = atomicCAS(bucket, EMPTY, CLAIMED);
                if (there == EMPTY) {
#pragma unroll
                    for (int word = 0; word < KEY_WORDS; word++) *(volatile u32*)&bucket[KEY_AT + word] = key[word];
                    __threadfence();
                    atomicExch(bucket, tag);
                    return bucket;
                }
            } else {
                there = *(volatile u32*)bucket;
            }
        }
        if (there == tag) {
            bool same = true;
#pragma unroll
            for (int word = 0; word < KEY_WORDS; word++) same &= *(volatile u32*)&bucket[KEY_AT + word] == key[word];
            if (same) {
                if (ticket) atomicSub(groups, 1u);
                return bucket;
            }
        }
        at = (at + 1) & mask;
    }
    if (ticket) atomicSub(groups, 1u);
    return 0;
}

// Merges a bucket into a table that has room for it.
__device__ __forceinline__ void enter_bucket(u32* table, u64 mask, const u32* from, u32* groups) {
    u32* into = find(table, mask, from + KEY_AT, hash_of(from + KEY_AT), 0xffffffffu, groups, 0xffffffffu);
    merge_states(into + STATE_AT, from + STATE_AT);
}
