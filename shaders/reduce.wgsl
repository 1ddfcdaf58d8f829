// Adds the partial results of a split reduction, in the order of the splits: the same bits on every run.
//
// Computes dst[t, r, n] = sum over s < splits of part[s, t, r, n], where part has `padded` rows r in each t and dst the
// first `rows` of them.
// Bindings: 0 part [splits, taps, padded, N], 1 dst [taps, rows, N], then the uniform.
// Constants: V values are read in fours (N is a multiple of 4).
// Grid: one invocation a value (or four), folded over x and y.
//
// Why it is fast: it streams each partial result once, neighbours reading neighbours.

struct ReduceParams { count: u32, splits: u32, columns: u32, rows: u32, padded: u32, stride: u32 }
//@if V
alias T = vec4<f32>;
//@else
alias T = f32;
//@end
@group(0) @binding(0) var<storage, read_write> part: array<T>;
@group(0) @binding(1) var<storage, read_write> dst: array<T>;
@group(0) @binding(2) var<uniform> p: ReduceParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u;
    let count = p.count;
    let splits = p.splits; let stride = p.stride;
    if (i < count) {
        let start = i + i / (p.columns * p.rows) * (p.padded - p.rows) * p.columns;
        var sum = T();
        for (var s = 0u; s < splits; s++) {
            sum += part[s * stride + start];
        }
        dst[i] = sum;
    }
}
