// The gradient of a max-pool's input: each window's gradient goes to its first maximum in row-major order.
//
// Computes, for every input value, the sum of grad over the windows that it is the first maximum of. Each input value
// looks at its own windows, so nothing is written twice and no atomics are needed.
//
// Layouts: grad, y [batch, oh, ow, C], x, dx [batch, h, w, C], channels in fours where V.
// Bindings: 0 grad, 1 x, 2 y, 3 dx, then the uniform.
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
alias B = vec4<bool>;
//@else
alias T = f32;
alias S = stored;
alias B = bool;
//@end
@group(0) @binding(0) var<storage, read_write> grad: array<S>;
@group(0) @binding(1) var<storage, read_write> x: array<S>;
@group(0) @binding(2) var<storage, read_write> y: array<S>;
@group(0) @binding(3) var<storage, read_write> dx: array<S>;
@group(0) @binding(4) var<uniform> p: PoolParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u + p.first;
    if (i >= p.total) { return; }
    let column = i % p.columns;
    let ix = i / p.columns % p.w;
    let iy = i / p.columns / p.w % p.h;
    let image = i / p.columns / p.w / p.h;
    let here = x[i];
    var sum = T();
    // The windows over this value: those that begin at most kernel - 1 before it.
    let last_y = min((iy + p.pad_y) / p.stride_y, p.oh - 1u);
    let last_x = min((ix + p.pad_x) / p.stride_x, p.ow - 1u);
    let first_y = select(0u, (iy + p.pad_y - p.kh) / p.stride_y + 1u, iy + p.pad_y >= p.kh);
    let first_x = select(0u, (ix + p.pad_x - p.kw) / p.stride_x + 1u, ix + p.pad_x >= p.kw);
    for (var oy = first_y; oy <= last_y; oy++) {
        for (var ox = first_x; ox <= last_x; ox++) {
            let o = ((image * p.oh + oy) * p.ow + ox) * p.columns + column;
            let top = y[o];
            // Is the maximum met before this value?
            var met = B();
            let ky = iy + p.pad_y - oy * p.stride_y;
            let kx = ix + p.pad_x - ox * p.stride_x;
            for (var k = 0u; k < ky * p.kw + kx; k++) {
                let sy = oy * p.stride_y + k / p.kw - p.pad_y;
                let sx = ox * p.stride_x + k % p.kw - p.pad_x;
                if (sy < p.h && sx < p.w) {
                    met = met | (x[((image * p.h + sy) * p.w + sx) * p.columns + column] == top);
                }
            }
            sum += select(T(), T(grad[o]), (here == top) & !met);
        }
    }
    dx[i] = S(sum);
}
