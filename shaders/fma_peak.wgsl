// The most fused multiply-adds that an adapter does: nothing but registers.
//
// Computes, in every invocation, `rounds` times 8 multiply-adds on each of 8 accumulators of four values, which do not
// wait for one another; writes a sum of them, so that none can be left out.
//
// Layouts: out [invocations].
// Bindings: 0 out, then the uniform. Factor and summand come with it, so that no compiler knows them.
// Grid: one invocation a value of out, folded over x and y.
//
// Why it is fast: 32 independent chains hide the latency of the arithmetic, and no memory is touched until the end. 64
// values are held at most, which no GPU spills; Mesa's software adapter does with 8 lanes (190 instead of 146 GFLOP/s with
// three accumulators on two cores of a Zen 5), not with 16.

struct FmaPeakParams { rounds: u32, factor: f32, summand: f32 }
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<uniform> p: FmaPeakParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u;
    let a = vec4<f32>(p.factor);
    let b = vec4<f32>(p.summand);
//@for k 0 8
    var s{{k}} = vec4<f32>(f32(i & 7u) + {{k}}.0);
//@end
    for (var round = 0u; round < p.rounds; round++) {
//@for again 0 8
//@for k 0 8
        s{{k}} = fma(s{{k}}, a, b);
//@end
//@end
    }
    let s = (s0 + s1 + s2 + s3) + (s4 + s5 + s6 + s7);
    if (i < arrayLength(&out)) { out[i] = s.x + s.y + s.z + s.w; }
}
