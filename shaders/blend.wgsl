// A moving average of all parameters, or the choice between old and new running statistics.
//
// Computes dst = go ? decay * old + rest * new : old, with go = control[0] and rest = 1 - decay, taken before it was
// rounded; a decay of 0 takes the new values.
//
// Bindings: 0 old, 1 new, 2 control, 3 dst, then the uniform. Grid: one invocation a vec4, folded over x and y.

struct BlendParams { quads: u32, decay: f32, rest: f32 }
@group(0) @binding(0) var<storage, read_write> old: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> fresh: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> control: array<f32>;
@group(0) @binding(3) var<storage, read_write> dst: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> p: BlendParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let quads = p.quads; let decay = p.decay; let rest = p.rest;
    let i = id.x + id.y * groups.x * {{WG}}u;
    if (i < quads) {
        let before = old[i];
        dst[i] = select(before, decay * before + rest * fresh[i], control[0] > 0.0);
    }
}
