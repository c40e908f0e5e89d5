// Keys to buckets: open addressing, linear probing, a bucket being a tag, how many rows it has, the key and the states of a group.
//
// A tag is 0 (nobody), 1 (somebody writes the key) or the key's hash with the second bit set. Who claims a bucket writes the key
// and then the tag; who finds it claimed waits, which threads of one warp may do since they are scheduled apart (sm_70). A
// key is read past the L1, where it was before the tag was: what is read of it with the tag is read again if it is another, or nothing.
//
// A row that needs a new bucket takes a ticket first. There are half as many tickets as buckets; a block keeps groups of its own, which
// take none, only where the rest has room for those of all blocks. So a table is never full, and a probe ends. A row without a ticket is
// noted for later.

#define EMPTY 0u
#define CLAIMED 1u
#define ROWS_AT 1
#define KEY_AT 2
#define STATE_AT (KEY_AT + KEY_WORDS)
#define BUCKET_WORDS (STATE_AT + STATE_WORDS)

// Words of a launch's status: rows that found no bucket, rows that blocks' own groups took, rows that they had no room for.
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

// The bucket of a key; 0 if no ticket was left for it.
__device__ __forceinline__ u32* find(u32* table, u64 mask, const u32* key, u32* groups, u32 limit) {
    const u32 hash = hash_of(key), tag = hash | 2u;
    u64 at = hash & mask;
    bool ticket = false;
    while (true) {
        u32* bucket = table + at * BUCKET_WORDS;
        // Tag, rows, and the first words of the key.
        uint4 head;
        LOAD_PAST_L1(head, bucket);
        u32 there = head.x;
        while (there == EMPTY || there == CLAIMED) {
            if (there == EMPTY) {
                if (!ticket) {
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
            bool same = head.z == key[0] && head.w == key[1] && (head.z | head.w);
            if (!same) same = *(volatile u32*)&bucket[KEY_AT] == key[0] && *(volatile u32*)&bucket[KEY_AT + 1] == key[1];
#pragma unroll
            for (int word = 2; word < KEY_WORDS; word += 2) {
                same &= *(volatile u64*)&bucket[KEY_AT + word] == (key[word] | (u64)key[word + 1] << 32);
            }
            if (same) {
                if (ticket) atomicSub(groups, 1u);
                return bucket;
            }
        }
        at = (at + 1) & mask;
    }
}

// Merges a bucket into a table that has room for it.
__device__ __forceinline__ void enter_bucket(u32* table, u64 mask, const u32* from, u32* groups) {
    u32* into = find(table, mask, from + KEY_AT, groups, 0xffffffffu);
    atomicAdd(&into[ROWS_AT], from[ROWS_AT]);
    merge_states(into + STATE_AT, from + STATE_AT);
}
