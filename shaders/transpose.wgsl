// Transposes the matrices of a convolution's weights, for its input gradient.
//
// Computes dst[t, column, row] = src[t, row, column].
//
// Layouts: src [taps, rows, columns], dst [taps, columns, rows]. Bindings: 0 src, 1 dst, then the uniform.
// Grid: one invocation a value of dst, folded over x and y. Weights are small: no tiling.

struct TransposeParams { total: u32, rows: u32, columns: u32 }
@group(0) @binding(0) var<storage, read_write> src: array<f32>;
@group(0) @binding(1) var<storage, read_write> dst: array<f32>;
@group(0) @binding(2) var<uniform> p: TransposeParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = p.total; let rows = p.rows; let columns = p.columns;
    let i = id.x + id.y * groups.x * {{WG}}u;
    if (i < total) {
        let line = i / rows;
        let tap = line / columns;
        dst[i] = src[(tap * rows + i - line * rows) * columns + line - tap * columns];
    }
}
