// One update of all parameters together, in place, unless control[0] is 0.
//
// Computes what a rule says (src/ops/optimizers): its statements stand where `insert` is, and change the parameter w and the
// states s0, s1, … by the gradient g, the learning rate lr and the weight decay.
//
// Layouts: everything is an arena [blocks, 64], a parameter beginning at a multiple of 64 values; table [blocks] of (lr factor,
// decay factor, values in the block, 0).
// Bindings: 0 parameters, 1 gradients, 2 table, 3 control (go, factor of the gradients), 4 … the states, then the uniform,
// whose last members are what the rule's statements call by names of their own.
// Constants: STATES.
// Grid: one invocation a vec4, folded over x and y.
//
// Why it is fast: one pass over memory for the whole network, whatever the number of parameters.

struct UpdateParams {
    quads: u32, lr: f32, weight_decay: f32,
    c0: f32, c1: f32, c2: f32, c3: f32, c4: f32, c5: f32, c6: f32, c7: f32,
}
@group(0) @binding(0) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> gradients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> table: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> control: array<f32>;
//@for s 0 STATES
@group(0) @binding({{4+s}}) var<storage, read_write> state{{s}}: array<vec4<f32>>;
//@end
@group(0) @binding({{4+STATES}}) var<uniform> p: UpdateParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u;
    if (i < p.quads && control[0] > 0.0) {
        let row = table[i >> 4u];
        let lr = p.lr * row.x;
        let decay = p.weight_decay * row.y;
        let g = gradients[i] * control[1];
        var w = parameters[i];
//@for s 0 STATES
        var s{{s}} = state{{s}}[i];
//@end
//@insert
        parameters[i] = w;
//@for s 0 STATES
        state{{s}}[i] = s{{s}};
//@end
    }
}
