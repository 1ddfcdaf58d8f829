// Copies a range of values.
//
// Computes dst[i] = src[i] for i < count. Bindings: 0 src, 1 dst, then the uniform.
// Grid: one invocation a value, folded over x and y.

struct CopyParams { count: u32 }
@group(0) @binding(0) var<storage, read_write> src: array<f32>;
@group(0) @binding(1) var<storage, read_write> dst: array<f32>;
@group(0) @binding(2) var<uniform> p: CopyParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u;
    if (i < p.count) { dst[i] = src[i]; }
}
