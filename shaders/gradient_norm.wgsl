// Sums of squares of all gradients, over chunks of an arena.
//
// Computes part[first + i] = sum over the chunk's blocks of (grad / scale)^2, with the loss scale status[2] where p.scaled,
// else 1. A parameter begins at a multiple of 64 values in the arena; what lies between its end and the next one's start is
// not looked at.
//
// Layouts: grad [blocks, 64], table [blocks] of (lr factor, decay factor, values in the block, 0), part [chunks of all arenas].
// Bindings: 0 grad, 1 table, 2 status, 3 part, then the uniform.
// Grid: one invocation a chunk of vec4. A workgroup's chunks lie together, and its invocations take turns in them, so that
// neighbours read neighbours and the workgroup goes through memory in order.

struct GradientNormParams { quads: u32, scaled: u32, first: u32 }
@group(0) @binding(0) var<storage, read_write> grad: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> table: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> status: array<f32>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;
@group(0) @binding(4) var<uniform> p: GradientNormParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32, @builtin(num_workgroups) groups: vec3<u32>) {
    let quads = p.quads; let inv_scale = 1.0 / select(1.0, status[2], p.scaled != 0u);
    let length = (quads + groups.x - 1u) / groups.x;
    let end = min((wg.x + 1u) * length, quads);
    var sum = vec4<f32>();
    for (var i = wg.x * length + t; i < end; i += {{WG}}u) {
        let at = vec4<f32>(0.0, 1.0, 2.0, 3.0) + f32((i & 15u) * 4u);
        let g = select(vec4<f32>(), grad[i] * inv_scale, at < vec4<f32>(table[i >> 4u].z));
        sum = fma(g, g, sum);
    }
    part[p.first + wg.x * {{WG}}u + t] = sum.x + sum.y + sum.z + sum.w;
}
