// The gradient of an average-pool's input.
//
// Computes, for every input value, the sum over the windows that it lies under of grad over the count of values that the
// window has of the image. Each input value looks at its own windows, so nothing is written twice and no atomics are needed.
//
// Layouts: grad [batch, oh, ow, C], dx [batch, h, w, C], channels in fours where V.
// Bindings: 0 grad, 1 dx, then the uniform.
// Grid: one invocation an input value (or four channels), folded over x and y.

struct PoolParams {
    total: u32, columns: u32, h: u32, w: u32,
    oh: u32, ow: u32, kh: u32, kw: u32,
    stride_y: u32, stride_x: u32, pad_y: u32, pad_x: u32,
    // The dispatch begins with invocation `first`.
    first: u32,
}
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> grad: array<S>;
@group(0) @binding(1) var<storage, read_write> dx: array<S>;
@group(0) @binding(2) var<uniform> p: PoolParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u + p.first;
    if (i >= p.total) { return; }
    let column = i % p.columns;
    let ix = i / p.columns % p.w;
    let iy = i / p.columns / p.w % p.h;
    let image = i / p.columns / p.w / p.h;
    var sum = T();
    // The windows over this value: those that begin at most kernel - 1 before it.
    let last_y = min((iy + p.pad_y) / p.stride_y, p.oh - 1u);
    let last_x = min((ix + p.pad_x) / p.stride_x, p.ow - 1u);
    let first_y = select(0u, (iy + p.pad_y - p.kh) / p.stride_y + 1u, iy + p.pad_y >= p.kh);
    let first_x = select(0u, (ix + p.pad_x - p.kw) / p.stride_x + 1u, ix + p.pad_x >= p.kw);
    for (var oy = first_y; oy <= last_y; oy++) {
        for (var ox = first_x; ox <= last_x; ox++) {
            // Rows and columns of the window that are inside.
            let rows = min(oy * p.stride_y + p.kh, p.h + p.pad_y) - max(oy * p.stride_y, p.pad_y);
            let columns = min(ox * p.stride_x + p.kw, p.w + p.pad_x) - max(ox * p.stride_x, p.pad_x);
            let o = ((image * p.oh + oy) * p.ow + ox) * p.columns + column;
            sum += T(grad[o]) / f32(rows * columns);
        }
    }
    dx[i] = S(sum);
}
