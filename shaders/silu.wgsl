// The sigmoid linear unit, or its gradient where BACKWARD.
//
// Computes to[i] = x[i] s(x[i]) with s(x) = 1 / (1 + exp(-x)), or what the gradient grad of it is for x.
//
// Layouts: all [count], in fours where V. Bindings: 0 x, 1 to, where BACKWARD 2 grad, then the uniform.
// Grid: one invocation a value (or four), folded over x and y.

// The dispatch begins with invocation `first`.
struct SiluParams { count: u32, first: u32 }
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> x: array<S>;
@group(0) @binding(1) var<storage, read_write> to: array<S>;
//@if BACKWARD
@group(0) @binding(2) var<storage, read_write> grad: array<S>;
@group(0) @binding(3) var<uniform> p: SiluParams;
//@else
@group(0) @binding(2) var<uniform> p: SiluParams;
//@end

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u + p.first;
    if (i >= p.count) { return; }
    let v = T(x[i]);
    // Beyond 80 it would overflow.
    let s = T(1.0) / (T(1.0) + exp(min(-v, T(80.0))));
//@if BACKWARD
    to[i] = S(T(grad[i]) * s * (T(1.0) + v * (T(1.0) - s)));
//@else
    to[i] = S(v * s);
//@end
}
