// Sums for the mean and variance of each channel, over chunks of pixels.
//
// Computes part[chunk, 0, c] = sum of (z - pivot) and part[chunk, 1, c] = sum of (z - pivot)^2 over the chunk's pixels,
// where pivot = z[0, c]: any value of the channel keeps the difference of squares from cancelling, and the first one
// costs no pass of its own.
//
// Layouts: z [pixels, C], part [chunks, 2, C], channels in fours where V.
// Bindings: 0 z, 1 part, then the uniform.
// Grid: one invocation a chunk and column (a channel or four), columns fastest; the dispatch begins with invocation `first`.
//
// Why it is fast: neighbours read neighbouring channels of a pixel, each invocation keeps its column's sums in registers.

struct NormGrid { columns: u32, pixels: u32, chunk_pixels: u32, first: u32 }
struct NormStatsParams { grid: NormGrid, chunks: u32 }
//@if V
alias T = vec4<f32>;
alias S = vec4<stored>;
//@else
alias T = f32;
alias S = stored;
//@end
@group(0) @binding(0) var<storage, read_write> z: array<S>;
@group(0) @binding(1) var<storage, read_write> part: array<T>;
@group(0) @binding(2) var<uniform> p: NormStatsParams;

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let columns = p.grid.columns; let pixels = p.grid.pixels; let length = p.grid.chunk_pixels; let chunks = p.chunks;
    let i = id.x + id.y * groups.x * {{WG}}u + p.grid.first;
    let chunk = i / columns;
    let column = i - chunk * columns;
    if (chunk < chunks) {
        let pivot = T(z[column]);
        var sum = T();
        var squares = T();
        let end = min((chunk + 1u) * length, pixels);
        for (var pixel = chunk * length; pixel < end; pixel++) {
            let d = T(z[pixel * columns + column]) - pivot;
            sum += d;
            squares = fma(d, d, squares);
        }
        part[2u * chunk * columns + column] = sum;
        part[(2u * chunk + 1u) * columns + column] = squares;
    }
}
