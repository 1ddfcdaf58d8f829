// Adds one tensor to another.
//
// Computes dst[i] += src[i]. Layouts: both [count], in fours where V. Bindings: 0 src, 1 dst, then the uniform.
// Grid: one invocation a run of values, folded over x and y.

struct AddParams { count: u32, run: u32 }
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> src: array<S>;
@group(0) @binding(1) var<storage, read_write> dst: array<S>;
@group(0) @binding(2) var<uniform> p: AddParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32, @builtin(num_workgroups) groups: vec3<u32>) {
    let count = p.count; let run = p.run;
    let first = (wg.x + wg.y * groups.x) * {{WG}}u * run + t;
    let end = min(first + {{WG}}u * run, count);
    for (var i = first; i < end; i += {{WG}}u) { dst[i] = S(T(dst[i]) + T(src[i])); }
}
