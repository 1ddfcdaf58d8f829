// Weight gradient of a convolution through workgroup memory, for GPUs.
//
// Computes what conv_wgrad_lanes.wgsl computes, from the same uniform:
//     part[split, m, n] = sum over the split's pixels of src[pixel moved by tap(m), channel(m)] * grad[pixel, n]
// with m = (tap, channel): a matrix product of BM rows by BN channels a workgroup, summed over BK pixels a step.
//
// Layouts: src [batch, src_h, src_w, K], grad [batch, grid_h, grid_w, N], part [splits, taps, K, N].
// Bindings: 0 src, 1 grad, 2 part, then the uniform.
// Constants: BM, BN multiples of 8 and 4; KV, NQ: source and gradient can be read in fours; ROWS 1 where KV, else 4; FETCH,
// GFETCH vec4 of the source's tile and of the gradient's that an invocation fetches a step.
// Grid: x tiles of BM rows, y tiles of BN channels, z splits. Workgroup: BM BN / 32 invocations, each 8 rows by 4
// channels.
//
// Why it is fast: both tiles are read along contiguous channels, with no transposition, once a workgroup, while the step
// before is summed; what an invocation fetches moves from step to step by additions; the splits over pixels fill the
// machine where the matrix is small.

struct WeightGradientAxis { grid: u32, src: u32, mul: i32, off: i32 }
struct WeightGradientParams {
    y: WeightGradientAxis, x: WeightGradientAxis,
    images: u32, k: u32, n: u32, src_stride: u32,
    taps: u32, taps_x: u32, quads_per_tap: u32, rows: u32,
    pixels_per_split: u32, first_split: u32,
}

//@if KV
@group(0) @binding(0) var<storage, read_write> src: array<vec4<stored>>;
//@else
@group(0) @binding(0) var<storage, read_write> src: array<stored>;
//@end
//@if NQ
@group(0) @binding(1) var<storage, read_write> grad: array<vec4<stored>>;
//@else
@group(0) @binding(1) var<storage, read_write> grad: array<stored>;
//@end
@group(0) @binding(2) var<storage, read_write> part: array<f32>;
@group(0) @binding(3) var<uniform> p: WeightGradientParams;

const BM = {{BM}}u;
const BN = {{BN}}u;
const BK = 16u;
const THREADS = {{WG}}u;

// [BK][BM] and [BK][BN] as vec4 along their last.
var<workgroup> tile_src: array<vec4<f32>, {{4*BM}}>;
var<workgroup> tile_grad: array<vec4<f32>, {{4*BN}}>;

// A pixel of the sum, by the place in the source that the first tap meets there; or from one pixel to another. What goes
// backwards wraps around.
struct Pixel { x: u32, y: u32, at: u32 }

fn plus(a: Pixel, b: Pixel) -> Pixel {
    return Pixel(a.x + b.x, a.y + b.y, a.at + b.at);
}

@compute @workgroup_size({{WG}})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    // Channels; in fours where these are read so.
//@if KV
    let K = p.k / 4u;
//@else
    let K = p.k;
//@end
    let src_h = p.y.src; let src_w = p.x.src;
    let grid_h = p.y.grid; let grid_w = p.x.grid;
    let mul_y = u32(p.y.mul); let mul_x = u32(p.x.mul);
    let split_index = wg.z + p.first_split;
    let begin = split_index * p.pixels_per_split;
    let end = min(begin + p.pixels_per_split, p.images * grid_h * grid_w);

    // This invocation fetches the same rows of the product in every step: each a tap and a channel.
    let rows = p.taps * p.k;
    let m_first = wg.x * BM + t % (BM / 4u) * 4u;
//@for r 0 ROWS
    let m{{r}} = min(m_first + {{r}}u, rows - 1u);
    let tap{{r}} = m{{r}} / p.k;
    let y_tap{{r}} = tap{{r}} / p.taps_x;
    let x_tap{{r}} = tap{{r}} % p.taps_x;
//@if KV
    let at_row{{r}} = (y_tap{{r}} * src_w + x_tap{{r}}) * K + m{{r}} % p.k / 4u;
//@else
    let at_row{{r}} = (y_tap{{r}} * src_w + x_tap{{r}}) * K + m{{r}} % p.k;
//@end
//@end
    // And pixels, which a step moves by BK. Beyond a line the next one begins, and beyond an image the next: no division.
    let at_x = mul_x * K; let at_y = mul_y * src_w * K; let at_image = src_h * src_w * K;
    let width = grid_w * mul_x; let height = grid_h * mul_y;
    let carry_x = Pixel(0u - width, mul_y, at_y - grid_w * at_x);
    let carry_y = Pixel(0u, 0u - height, at_image - grid_h * at_y);
    let by_x = BK % grid_w; let by_y = BK / grid_w % grid_h; let by_image = BK / grid_w / grid_h;
    let ahead = Pixel(by_x * mul_x, by_y * mul_y, by_x * at_x + by_y * at_y + by_image * at_image);
    // Taps above and left of the image are beyond it by their coordinates, which wrap around.
    let x_end = width + u32(p.x.off); let y_end = height + u32(p.y.off);
//@for f 0 FETCH
    let k{{f}} = ({{f}}u * THREADS + t) / (BM / 4u);
    let line{{f}} = (begin + k{{f}}) / grid_w;
    var pixel{{f}} = Pixel((begin + k{{f}}) % grid_w * mul_x + u32(p.x.off), line{{f}} % grid_h * mul_y + u32(p.y.off), 0u);
    pixel{{f}}.at = ((line{{f}} / grid_h * src_h + pixel{{f}}.y) * src_w + pixel{{f}}.x) * K;
//@for r 0 ROWS
    var inside{{f}}_{{r}} = false;
//@if KV
    var s{{f}}_{{r}} = vec4<stored>();
//@else
    var s{{f}}_{{r}} = stored();
//@end
//@end
//@end
    // Behind the last of the gradient's channels, and of its pixels, the last is fetched again: what comes of it is not
    // written, or is multiplied by zero.
    let column = wg.y * BN + t % (BN / 4u) * 4u;
//@if NQ
    let columns = p.n / 4u;
    let g_column = min(column, p.n - 4u) / 4u;
//@else
    let columns = p.n;
//@for i 0 4
    let g_column{{i}} = min(column + {{i}}u, p.n - 1u);
//@end
//@end
    let g_last = (max(end, 1u) - 1u) * columns;
//@for f 0 GFETCH
    var g_row{{f}} = (begin + ({{f}}u * THREADS + t) / (BN / 4u)) * columns;
    var g{{f}} = vec4<stored>();
//@end

    let n_local = (t % (BN / 4u)) * 4u;
    let m_local = (t / (BN / 4u)) * 8u;
    let n_at = n_local / 4u; let m_at = m_local / 4u;
//@for i 0 8
    var a{{i}} = vec4<f32>();
//@end

    // What fetches a step stands before the loop, for the first one, and in it, for the one behind that which is being
    // summed: memory answers meanwhile.
//@for next 0 2
//@if next==0
    let count{{next}} = end - begin;
//@else
    for (var at = begin; at < end; at += BK) {
        let count{{next}} = max(end - at, BK) - BK;
//@for f 0 FETCH
//@if KV
        tile_src[{{f}}u * THREADS + t] = select(vec4<f32>(), vec4<f32>(s{{f}}_0), inside{{f}}_0);
//@else
        tile_src[{{f}}u * THREADS + t] = select(
            vec4<f32>(), vec4<f32>(vec4<stored>(s{{f}}_0, s{{f}}_1, s{{f}}_2, s{{f}}_3)),
            vec4<bool>(inside{{f}}_0, inside{{f}}_1, inside{{f}}_2, inside{{f}}_3),
        );
//@end
//@end
//@for f 0 GFETCH
        let v{{f}} = vec4<f32>(g{{f}});
//@if HALF
        // The largest number stands for whatever is larger: see conv_wgrad_lanes.wgsl.
        let size{{f}} = abs(v{{f}});
        let most{{f}} = max(max(size{{f}}.x, size{{f}}.y), max(size{{f}}.z, size{{f}}.w));
        tile_grad[{{f}}u * THREADS + t] = v{{f}} * select(1.0, 3e38, most{{f}} >= 65504.0);
//@else
        tile_grad[{{f}}u * THREADS + t] = v{{f}};
//@end
        g_row{{f}} += BK * columns;
//@end
        workgroupBarrier();
//@for f 0 FETCH
        pixel{{f}} = plus(pixel{{f}}, ahead);
        if (i32(pixel{{f}}.x) >= i32(x_end)) { pixel{{f}} = plus(pixel{{f}}, carry_x); }
        if (i32(pixel{{f}}.y) >= i32(y_end)) { pixel{{f}} = plus(pixel{{f}}, carry_y); }
//@end
//@end
//@for f 0 FETCH
//@for r 0 ROWS
        inside{{f}}_{{r}} = (k{{f}} < count{{next}}) & (pixel{{f}}.y + y_tap{{r}} < src_h) & (pixel{{f}}.x + x_tap{{r}} < src_w);
        s{{f}}_{{r}} = src[select(0u, pixel{{f}}.at + at_row{{r}}, inside{{f}}_{{r}})];
//@end
//@end
//@for f 0 GFETCH
//@if NQ
        g{{f}} = grad[min(g_row{{f}}, g_last) + g_column];
//@else
        g{{f}} = vec4<stored>(
//@for i 0 4
            grad[min(g_row{{f}}, g_last) + g_column{{i}}],
//@end
        );
//@end
//@end
//@end
//@for k 0 16
        {
            let g = tile_grad[n_at + {{k}}u * (BN / 4u)];
            let s0 = tile_src[m_at + {{k}}u * (BM / 4u)];
            let s1 = tile_src[m_at + {{k}}u * (BM / 4u) + 1u];
//@for i 0 4
            a{{i}} = fma(vec4<f32>(s0[{{i}}]), g, a{{i}});
            a{{i+4}} = fma(vec4<f32>(s1[{{i}}]), g, a{{i+4}});
//@end
        }
//@end
        workgroupBarrier();
    }

    let n = wg.y * BN + n_local;
//@for i 0 8
    {
        let m = wg.x * BM + m_local + {{i}}u;
        if (m < rows) {
            for (var j = 0u; j < 4u && n + j < p.n; j++) {
                part[(split_index * rows + m) * p.n + n + j] = a{{i}}[j];
            }
        }
    }
//@end
}
