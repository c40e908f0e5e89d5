// Keys to dense group ids: a hash table that no invocation ever waits in.
//
// A slot holds nothing (0), a group (its id + 1), or a row of this batch that has claimed it (the row | CLAIMED). A
// claim needs no key to be written first: the claiming row's key is in the batch, where every other invocation can
// read it. So `find` is one compare-and-swap a new key, and nobody spins. `number` then turns claims into groups.
//
// Rows that do not pass the tests have no slot, and later steps skip them. The host keeps the table at most half
// full, so a probe ends.

@group(0) @binding(1) var<storage, read_write> slots: array<atomic<u32>>;
// The slot of each row or NOWHERE, from `find` to the end of the batch.
@group(0) @binding(2) var<storage, read_write> slot_of: array<u32>;
// KEY_WORDS words a group.
@group(0) @binding(3) var<storage, read_write> keys: array<u32>;
// Its first word: how many groups there are.
@group(0) @binding(4) var<storage, read_write> groups: array<atomic<u32>>;

alias Key = array<u32, KEY_WORDS>;

const CLAIMED: u32 = 0x80000000u;
const NOWHERE: u32 = 0xffffffffu;

fn key_of_group(id: u32) -> Key {
    var key: Key;
    for (var word = 0u; word < KEY_WORDS; word++) {
        key[word] = keys[id * KEY_WORDS + word];
    }
    return key;
}

fn same(left: Key, right: Key) -> bool {
    var a = left;
    var b = right;
    for (var word = 0u; word < KEY_WORDS; word++) {
        if a[word] != b[word] {
            return false;
        }
    }
    return true;
}

// The finaliser of MurmurHash3 over each word.
fn hash_of(key: Key) -> u32 {
    var words = key;
    var hash = 0x9e3779b9u;
    for (var word = 0u; word < KEY_WORDS; word++) {
        hash = (hash ^ words[word]) * 0x85ebca6bu;
        hash = (hash ^ (hash >> 13u)) * 0xc2b2ae35u;
        hash = hash ^ (hash >> 16u);
    }
    return hash;
}

fn is_in(occupant: u32, key: Key) -> bool {
    if (occupant & CLAIMED) != 0u {
        return same(key_of_row(occupant & ~CLAIMED), key);
    }
    return same(key_of_group(occupant - 1u), key);
}

@compute @workgroup_size(WORKGROUP)
fn find(@builtin(global_invocation_id) at: vec3<u32>) {
    let row = at.x;
    if row >= rows() {
        return;
    }
    if !passes(row) {
        slot_of[row] = NOWHERE;
        return;
    }
    let key = key_of_row(row);
    var slot = hash_of(key) & slot_mask();
    loop {
        var occupant = atomicLoad(&slots[slot]);
        if occupant == 0u {
            let claim = atomicCompareExchangeWeak(&slots[slot], 0u, row | CLAIMED);
            if claim.exchanged {
                break;
            }
            occupant = claim.old_value;
        }
        // A weak exchange may fail with the slot still empty: then the same slot is tried again.
        if occupant != 0u {
            if is_in(occupant, key) {
                break;
            }
            slot = (slot + 1u) & slot_mask();
        }
    }
    slot_of[row] = slot;
}

@compute @workgroup_size(WORKGROUP)
fn number(@builtin(global_invocation_id) at: vec3<u32>) {
    let row = at.x;
    if is_done_with(row) || atomicLoad(&slots[slot_of[row]]) != (row | CLAIMED) {
        return;
    }
    let id = atomicAdd(&groups[0], 1u);
    var key = key_of_row(row);
    for (var word = 0u; word < KEY_WORDS; word++) {
        keys[id * KEY_WORDS + word] = key[word];
    }
    atomicStore(&slots[slot_of[row]], id + 1u);
}

// Whether a row has no slot, or is none.
fn is_done_with(row: u32) -> bool {
    if row >= rows() {
        return true;
    }
    return slot_of[row] == NOWHERE;
}

fn group_of(row: u32) -> u32 {
    return atomicLoad(&slots[slot_of[row]]) - 1u;
}

// Enters all groups into an empty table, after it has grown.
@compute @workgroup_size(WORKGROUP)
fn enter(@builtin(global_invocation_id) at: vec3<u32>) {
    let id = at.x;
    if id >= atomicLoad(&groups[0]) {
        return;
    }
    var slot = hash_of(key_of_group(id)) & slot_mask();
    loop {
        let claim = atomicCompareExchangeWeak(&slots[slot], 0u, id + 1u);
        if claim.exchanged {
            break;
        }
        if claim.old_value != 0u {
            slot = (slot + 1u) & slot_mask();
        }
    }
}
