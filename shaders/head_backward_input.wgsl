// The gradient of the head's input, through the matrix product and the average.
//
// Computes dx[image, pixel, c] = (sum over k of grad[image, k] * weight[c, k]) / pixels, the same for every pixel.
// Layouts: grad [batch, K], weight [C, K], dx [batch, pixels, C] in fours where V.
// Bindings: 0 grad, 1 weight, 2 dx, then the uniform.
// Grid: one invocation an image and column (a channel or four), folded over x and y; the dispatch begins with
// invocation `first`.

struct HeadGrid { total: u32, columns: u32, pixels: u32, first: u32 }
struct HeadBackwardInputParams { grid: HeadGrid, classes: u32 }
@group(0) @binding(0) var<storage, read_write> grad: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
//@if V
alias S = vec4<stored>;
//@else
alias S = stored;
//@end
@group(0) @binding(2) var<storage, read_write> dx: array<S>;
@group(0) @binding(3) var<uniform> p: HeadBackwardInputParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let total = p.grid.total; let columns = p.grid.columns; let pixels = p.grid.pixels; let K = p.classes;
    let i = id.x + id.y * groups.x * {{WG}}u + p.grid.first;
    if (i < total) {
        let image = i / columns;
        let column = i - image * columns;
//@if V
        var sum = vec4<f32>();
        for (var k = 0u; k < K; k++) {
            let at = 4u * column * K + k;
            sum = fma(vec4<f32>(grad[image * K + k]), vec4<f32>(weight[at], weight[at + K], weight[at + 2u * K], weight[at + 3u * K]), sum);
        }
//@else
        var sum = 0.0;
        for (var k = 0u; k < K; k++) { sum = fma(grad[image * K + k], weight[column * K + k], sum); }
//@end
        let value = S(sum / f32(pixels));
        for (var j = 0u; j < pixels; j++) { dx[(image * pixels + j) * columns + column] = value; }
    }
}
