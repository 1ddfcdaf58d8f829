// The weights of a bundle of neighbouring groups as those of one group, or the way back for their gradients.
//
// Computes own[tap, g a + i, g b + o] = all[tap, i, first + g b + o], a and b the channels of a group, zero where input
// and output are of different groups g; or, with p.back, all from own where that has them.
//
// Layouts: all [taps, a, N], own [taps, groups a, groups b].
// Bindings: 0 all, 1 own, then the uniform.
// Grid: one invocation a value of own, folded over x and y.

struct BundleParams { total: u32, a: u32, b: u32, groups: u32, n: u32, first: u32, back: u32 }
@group(0) @binding(0) var<storage, read_write> all: array<f32>;
@group(0) @binding(1) var<storage, read_write> own: array<f32>;
@group(0) @binding(2) var<uniform> p: BundleParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u;
    if (i < p.total) {
        let output = i % (p.groups * p.b);
        let input = i / (p.groups * p.b) % (p.groups * p.a);
        let tap = i / (p.groups * p.b) / (p.groups * p.a);
        let same = input / p.a == output / p.b;
        let at = (tap * p.a + input % p.a) * p.n + p.first + output;
        if (p.back == 0u) {
            own[i] = select(0.0, all[at], same);
        } else if (same) {
            all[at] = own[i];
        }
    }
}
