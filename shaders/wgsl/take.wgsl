// Groups of closing panes move to the end of new arenas of the same size, from where they are read back; the others
// to their beginning, and are then entered into the new table.
//
// Each group takes a place of its own, so no two invocations write the same word. In which order they come to lie is
// left open.

// Groups; how many there is room for; words of a key, the last of which is its pane; words of a state; the first pane
// that stays.
@group(0) @binding(0) var<storage, read> order: array<u32>;
@group(0) @binding(1) var<storage, read> old: array<u32>;
@group(0) @binding(2) var<storage, read_write> fresh: array<u32>;
// Where each group goes.
@group(0) @binding(3) var<storage, read_write> places: array<u32>;
// How many stay, how many leave.
@group(0) @binding(4) var<storage, read_write> counts: array<atomic<u32>>;

fn carry(id: u32, words: u32) {
    for (var word = 0u; word < words; word++) {
        fresh[places[id] * words + word] = old[id * words + word];
    }
}

@compute @workgroup_size(WORKGROUP)
fn move_keys(@builtin(global_invocation_id) at: vec3<u32>) {
    let id = at.x;
    if id >= order[0] {
        return;
    }
    let pane = bitcast<i32>(old[id * order[2] + order[2] - 1u]);
    if pane < bitcast<i32>(order[4]) {
        places[id] = order[1] - 1u - atomicAdd(&counts[1], 1u);
    } else {
        places[id] = atomicAdd(&counts[0], 1u);
    }
    carry(id, order[2]);
}

@compute @workgroup_size(WORKGROUP)
fn move_states(@builtin(global_invocation_id) at: vec3<u32>) {
    let id = at.x;
    if id < order[0] {
        carry(id, order[3]);
    }
}
