// A batch from the bytes of images on the device: crop, flip, colour, normalise, cutout, random erasing, mix.
//
// Computes what `ops::sample::render` and `mix` compute from the same parameters, one pixel an invocation:
//   the pixel of the crop (mirrored where flip = 1), black or reflected beyond the border, or of a crop that is resized
//   to the batch's size, bilinearly as Pillow does but in floats (within one level of it); where colours are moved, v =
//   gain v + offset, then gray + saturation (v - gray), clamped to 0 … 255; normalised; 0 in the cutout's box; noise in
//   the erased box, a function of its key and the value's place; and mixed with the partner's pixel, everywhere by
//   lambda (mix = 1) or inside a box (mix = 2).
//
// Layouts: images [count, h, w, C] as bytes, four in a word, per_part images in each binding; samples [batch]; table
// [C, 256] the normalised value of each byte, then C means and C deviations; out [batch, out_h, out_w, C], where
// h = out_h and w = out_w but for crops that are resized.
// Bindings: 0 samples, 1 table, 2 out, 3 … images, then the uniform.
// Constants: C (1 or 3), PARTS bindings of images (1 to 4), RESIZE where any crop is resized.
// Grid: one invocation a pixel, folded over x and y.
//
// Why it is fast: a batch costs a SampleParams an image on the bus where the images live on the device, and where they
// are sent for it a quarter of its pixels as 32-bit floats (of crops that are resized, at most all of them). A crop
// that shrinks has each of its pixels read four times, as the triangles of neighbours overlap in both directions, so
// that an output pixel takes (2 * shrink)^2 taps of C bytes; one that grows takes four taps. For half of a 500x375
// photograph to 224x224 that is 8 taps: thousandths of what a ResNet does with the pixel.

struct GatherParams { total: u32, batch: u32, h: u32, w: u32, per_part: u32, reflect: u32, out_h: u32, out_w: u32 }
// What is done to one image: `ops::sample` says what each is.
struct SampleParams {
    index: u32, dx: i32, dy: i32, flip: u32,
    cut: array<u32, 4>,
    gain: f32, offset: f32, saturation: f32,
    mix: u32, partner: u32, lambda: f32,
    mix_box: array<u32, 4>,
    label: u32, partner_label: u32,
    resized: array<u32, 2>,
    erased: array<u32, 4>,
    noise: u32,
}
@group(0) @binding(0) var<storage, read_write> samples: array<SampleParams>;
@group(0) @binding(1) var<storage, read_write> table: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<stored>;
//@for i 0 PARTS
@group(0) @binding({{3+i}}) var<storage, read_write> images{{i}}: array<u32>;
//@end
@group(0) @binding({{3+PARTS}}) var<uniform> p: GatherParams;

fn byte(image: u32, offset: u32) -> u32 {
    let part = image / p.per_part;
    let at = (image - part * p.per_part) * p.h * p.w * {{C}}u + offset;
    var word = 0u;
//@for i 0 PARTS
    if (part == {{i}}u) { word = images{{i}}[at >> 2u]; }
//@end
    return (word >> (8u * (at & 3u))) & 255u;
}

// Where position i of an axis of n pixels is read, or -1 for the black beyond the border.
fn place(i: i32, n: i32) -> i32 {
    if (i >= 0 && i < n) { return i; }
    if (p.reflect == 0u) { return -1; }
    if (n < 2) { return 0; }
    let period = 2 * (n - 1);
    let k = ((i % period) + period) % period;
    return min(k, period - k);
}

//@if RESIZE
// Pixel (x, y) of the resized crop of image `n` of the batch. Sums end at the crop's border, not the image's.
fn resized(n: u32, x: u32, y: u32) -> vec3<u32> {
    let image = samples[n].index;
    let corner = vec2<u32>(u32(samples[n].dx), u32(samples[n].dy));
    let size = vec2<u32>(samples[n].resized[0], samples[n].resized[1]);
    let ratio = vec2<f32>(size) / vec2<f32>(vec2<u32>(p.out_w, p.out_h));
    let support = max(ratio, vec2<f32>(1.0));
    let centre = (vec2<f32>(vec2<u32>(x, y)) + 0.5) * ratio;
    let first = vec2<u32>(max(centre - support + 0.5, vec2<f32>()));
    let end = min(vec2<u32>(centre + support + 0.5), size);
    var sum = vec3<f32>();
    var weights = 0.0;
    for (var j = first.y; j < end.y; j++) {
        let row = ((corner.y + j) * p.w + corner.x) * {{C}}u;
        let of_row = max(1.0 - abs(f32(j) + 0.5 - centre.y) / support.y, 0.0);
        for (var i = first.x; i < end.x; i++) {
            let weight = of_row * max(1.0 - abs(f32(i) + 0.5 - centre.x) / support.x, 0.0);
            weights += weight;
//@for c 0 C
            sum[{{c}}] += weight * f32(byte(image, row + i * {{C}}u + {{c}}u));
//@end
        }
    }
    return vec3<u32>(sum / weights + 0.5);
}

//@end
fn inside(corners: array<u32, 4>, x: u32, y: u32) -> bool {
    return x >= corners[0] && x < corners[2] && y >= corners[1] && y < corners[3];
}

fn hash(x: u32) -> u32 {
    let state = x * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// Value `at` of an image's noise: the sum of eight random bytes, which are added in pairs.
fn noise(key: u32, at: u32) -> f32 {
    let first = hash(key ^ hash(at));
    let second = hash(first);
    let low = (first & 0xff00ffu) + (second & 0xff00ffu);
    let high = ((first >> 8u) & 0xff00ffu) + ((second >> 8u) & 0xff00ffu);
    let sum = low + high;
    return (f32((sum & 0xffffu) + (sum >> 16u)) - 1020.0) * 0.0047842;
}

// The normalised pixel (x, y) of image `n` of the batch, before it is mixed.
fn pixel(n: u32, x: u32, y: u32) -> vec3<f32> {
    if (inside(samples[n].erased, x, y)) {
        var values = vec3<f32>();
//@for c 0 C
        values[{{c}}] = noise(samples[n].noise, (y * p.out_w + x) * {{C}}u + {{c}}u);
//@end
        return values;
    }
    if (inside(samples[n].cut, x, y)) { return vec3<f32>(); }
    let image = samples[n].index;
    let column = select(x, p.out_w - 1u - x, samples[n].flip == 1u);
    let sx = place(i32(column) + samples[n].dx, i32(p.w));
    let sy = place(i32(y) + samples[n].dy, i32(p.h));
    var bytes = vec3<u32>();
    if (sx >= 0 && sy >= 0) {
        let offset = (u32(sy) * p.w + u32(sx)) * {{C}}u;
//@for c 0 C
        bytes[{{c}}] = byte(image, offset + {{c}}u);
//@end
    }
//@if RESIZE
    if (samples[n].resized[0] > 0u) { bytes = resized(n, column, y); }
//@end
    let gain = samples[n].gain;
    let offset = samples[n].offset;
    let saturation = samples[n].saturation;
    var v = vec3<f32>();
    if (gain == 1.0 && offset == 0.0 && saturation == 1.0) {
//@for c 0 C
        v[{{c}}] = table[{{256*c}}u + bytes[{{c}}]];
//@end
        return v;
    }
    v = gain * vec3<f32>(bytes) + offset;
//@if C==3
    let gray = 0.299 * v.x + 0.587 * v.y + 0.114 * v.z;
//@else
    let gray = v.x;
//@end
    v = clamp(gray + saturation * (v - gray), vec3<f32>(), vec3<f32>(255.0));
//@for c 0 C
    v[{{c}}] = (v[{{c}}] / 255.0 - table[{{256*C+c}}u]) / table[{{256*C+C+c}}u];
//@end
    return v;
}

@compute @workgroup_size({{WG}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * {{WG}}u;
    if (i >= p.total) { return; }
    let x = i % p.out_w;
    let y = i / p.out_w % p.out_h;
    let n = i / p.out_w / p.out_h;
    // Partners are mutual, n and batch - 1 - n; the one in the middle has none. The first of a pair decides.
    let other = p.batch - 1u - n;
    let pair = min(n, other);
    let mix = select(0u, samples[pair].mix, n != other);
    let lambda = samples[pair].lambda;
    var v = vec3<f32>();
    // Rounds of a loop rather than two calls: the text of `pixel` would be compiled for each.
    let rounds = select(1u, 2u, mix != 0u);
    for (var round = 0u; round < rounds; round++) {
        let own = round == 0u;
        let found = pixel(select(other, n, own), x, y);
        let pasted = inside(samples[pair].mix_box, x, y);
        let mixed = select(select(v, found, pasted), lambda * v + (1.0 - lambda) * found, mix == 1u);
        v = select(mixed, found, own);
    }
//@for c 0 C
    out[{{C}}u * i + {{c}}u] = stored(v[{{c}}]);
//@end
}
