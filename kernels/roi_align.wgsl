// Means of a map over the bins of regions (arXiv:1703.06870, RoIAlign): x [N, H, W, C], rois [R, 5] (image, x0, y0,
// x1, y1) → y [R, bins, bins, C], each the mean of samples × samples bilinear values, zeros where the image is below 0.
// One invocation per element of y, or per four where C allows it (C and size then count fours).

alias elem = f32;
override H: u32; override W: u32; override C: u32;
override bins: u32;
override samples: u32; // along an axis of a bin; 0: as many as it has cells
override scale: f32; // from the rois' pixels to cells
override aligned: bool; // whether a pixel's centre is at 0.5; else regions are at least one cell wide
override size: u32; // R · bins · bins · C

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> rois: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<elem>;

// The lower of two cells, the upper one's share, and 1, or 0 for a sample beyond the map.
fn place(start: f32, bin: f32, number: u32, sample: u32, count: u32, cells: u32) -> vec3f {
  let at = start + f32(number) * bin + (f32(sample) + 0.5) * bin / f32(count);
  let inside = clamp(at, 0.0, f32(cells - 1u));
  let lower = min(floor(inside), f32(max(cells, 2u) - 2u));
  return vec3f(lower, inside - lower, select(0.0, 1.0, at >= -1.0 && at <= f32(cells)));
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let roi = i / C / bins / bins * 5u;
  let image = rois[roi];
  if (image < 0.0) {
    y[i] = elem(0.0);
    return;
  }
  let shift = select(0.0, 0.5, aligned);
  let start = vec2f(rois[roi + 1u], rois[roi + 2u]) * scale - shift;
  let whole = vec2f(rois[roi + 3u], rois[roi + 4u]) * scale - shift - start;
  let bin = select(max(whole, vec2f(1.0)), whole, aligned) / f32(bins);
  var counts = vec2u(samples);
  if (samples == 0u) { counts = vec2u(max(ceil(bin), vec2f(0.0))); }
  let column = i / C % bins;
  let row = i / C / bins % bins;
  let first = u32(image) * H * W * C + i % C;
  let right = select(0u, C, W > 1u);
  let down = select(0u, W * C, H > 1u);
  var total = elem(0.0);
  for (var v = 0u; v < counts.y; v++) {
    let vertical = place(start.y, bin.y, row, v, counts.y, H);
    for (var h = 0u; h < counts.x; h++) {
      let across = place(start.x, bin.x, column, h, counts.x, W);
      let at = first + (u32(vertical.x) * W + u32(across.x)) * C;
      let top = x[at] * (1.0 - across.y) + x[at + right] * across.y;
      let bottom = x[at + down] * (1.0 - across.y) + x[at + down + right] * across.y;
      total += (top * (1.0 - vertical.y) + bottom * vertical.y) * (vertical.z * across.z);
    }
  }
  y[i] = total / f32(max(counts.x * counts.y, 1u));
}
