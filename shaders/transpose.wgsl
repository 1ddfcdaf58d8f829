// Transposes the matrices of a convolution's weights, for its input gradient.
//
// Computes dst[t, b, a] = src[t, a, b].
//
// Layouts: src [taps, A, B], dst [taps, B, A]. Bindings: 0 src, 1 dst, then the uniform.
// Grid: one invocation a value of dst, folded over x and y. Weights are small: no tiling.

struct Params { total: u32, a: u32, b: u32, unused: u32 }
@group(0) @binding(0) var<storage, read_write> src: array<f32>;
@group(0) @binding(1) var<storage, read_write> dst: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = p.total; let A = p.a; let B = p.b;
    let i = id.x + id.y * groups.x * {{WG}}u;
    if (i < total) {
        let row = i / A;
        let tap = row / B;
        dst[i] = src[(tap * A + i - row * A) * B + row - tap * B];
    }
}
