// One update of all parameters together: SGD with momentum (dampening 0, decay coupled, Nesterov) or AdamW, as in PyTorch.
//
// Computes new parameters and moments from old ones and the gradients, or copies the old ones where control[0] is 0.
//
// Layouts: everything is an arena [blocks, 64], a parameter beginning at a multiple of 64 values; moments [blocks, 64] for
// SGD and [2, blocks, 64] for AdamW; table [blocks] of (lr factor, decay factor, values in the block, 0).
// Bindings: 0 old parameters, 1 gradients, 2 old moments, 3 table, 4 control (go, factor), 5 new parameters, 6 new moments,
// then the uniform.
// rest1 and rest2 are 1 - beta1 and 1 - beta2, taken before they were rounded.
// Constants: ADAM, NESTEROV.
// Grid: one invocation a vec4, folded over x and y.
//
// Why it is fast: one pass over memory for the whole network, whatever the number of parameters.

struct UpdateParams {
    quads: u32, lr: f32, decay: f32, momentum: f32,
    beta1: f32, beta2: f32, eps: f32, bias1: f32,
    bias2: f32, rest1: f32, rest2: f32,
}
@group(0) @binding(0) var<storage, read_write> old: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> grad: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> old_moments: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> table: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> control: array<f32>;
@group(0) @binding(5) var<storage, read_write> fresh: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> new_moments: array<vec4<f32>>;
@group(0) @binding(7) var<uniform> p: UpdateParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let quads = p.quads;
    let i = id.x + id.y * groups.x * {{WG}}u;
    if (i < quads) {
        let before = old[i];
        let m_before = old_moments[i];
        let row = table[i >> 4u];
        let go = control[0] > 0.0;
        let lr = p.lr * row.x;
        let decay = p.decay * row.y;
        let g = grad[i] * control[1];
//@if ADAM
        let v_before = old_moments[i + quads];
        let m = p.beta1 * m_before + p.rest1 * g;
        let v = p.beta2 * v_before + p.rest2 * g * g;
        let after = before * (1.0 - lr * decay) - m / (sqrt(v) / p.bias2 + p.eps) * (lr / p.bias1);
        new_moments[i + quads] = select(v_before, v, go);
//@else
        let d = fma(before, vec4<f32>(decay), g);
        let m = fma(m_before, vec4<f32>(p.momentum), d);
//@if NESTEROV
        let after = before - lr * fma(m, vec4<f32>(p.momentum), d);
//@else
        let after = before - lr * m;
//@end
//@end
        fresh[i] = select(before, after, go);
//@if ADAM
        new_moments[i] = select(m_before, m, go);
//@else
        // Without momentum there is nothing to remember, should it be switched on later.
        new_moments[i] = select(m_before, select(m, vec4<f32>(), p.momentum == 0.0), go);
//@end
    }
}
