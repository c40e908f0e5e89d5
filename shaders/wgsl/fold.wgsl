// What a program does with a row: the generated lines stand where FOLD and SETTLE are.

@compute @workgroup_size(WORKGROUP)
fn fold(@builtin(global_invocation_id) at: vec3<u32>) {
    let row = at.x;
    if is_done_with(row) {
        return;
    }
    let group = group_of(row) * STATE_WORDS;
    //FOLD
}

// After every row of the batch is folded.
@compute @workgroup_size(WORKGROUP)
fn settle(@builtin(global_invocation_id) at: vec3<u32>) {
    let row = at.x;
    if is_done_with(row) {
        return;
    }
    let group = group_of(row) * STATE_WORDS;
    //SETTLE
}
