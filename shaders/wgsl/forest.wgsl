// Rows down the trees of a forest (`pelton_models::ByteForest`): where each row ends in each tree. Twin of shaders/cuda/forest.cu,
// which can also add the leaves up: in WGSL no sum of floats is promised to be rounded as the processor rounds it.
//
// An invocation takes a row down the trees of one word of ends, so no two write the same word.

// Rows, words from column to column of bytes, trees, rows from word to word of ends; then the bytes.
@group(0) @binding(0) var<storage, read> batch: array<u32>;
// For each tree where its nodes begin, its depth, and the first column of its group.
@group(0) @binding(1) var<storage, read> trees: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> nodes: array<u32>;
@group(0) @binding(3) var<storage, read_write> ends: array<u32>;

const HEADER: u32 = 4u;
const BITS: u32 = 32u / ENDS_PER_WORD;

fn byte_of(column: u32, row: u32) -> u32 {
    return (batch[HEADER + column * batch[1] + row / 4u] >> (row % 4u * 8u)) & 0xffu;
}

// A node: the place of its left child; what a byte is at most to go there, and not to the next; the column of its group.
fn end_of(tree: vec4<u32>, row: u32) -> u32 {
    var at = 0u;
    for (var level = 0u; level < tree.y; level++) {
        let node = nodes[tree.x + at];
        let is_right = byte_of(tree.z + (node >> 24u), row) > ((node >> 16u) & 0xffu);
        at = (node & 0xffffu) + u32(is_right);
    }
    return at;
}

@compute @workgroup_size(WORKGROUP)
fn walk(@builtin(global_invocation_id) at: vec3<u32>) {
    let row = at.x;
    if row >= batch[0] {
        return;
    }
    let first = at.y * ENDS_PER_WORD;
    var word = 0u;
    for (var i = 0u; i < min(ENDS_PER_WORD, batch[2] - first); i++) {
        word |= end_of(trees[first + i], row) << (i * BITS);
    }
    ends[at.y * batch[3] + row] = word;
}
