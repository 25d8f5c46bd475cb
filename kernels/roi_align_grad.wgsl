// Gradient of RoIAlign: dy [R, bins, bins, C], rois [R, 5], reached [N, ⌈H / side⌉, ⌈W / side⌉, words] →
// dx [N, H, W, C], for each cell the sum over regions that reach its tile, and over their bins. As sampling is
// bilinear, a bin's part in a cell is a product of one along each axis.
// One invocation per element of dx, or per four where C allows it (C and size then count fours).

alias elem = f32;
override H: u32; override W: u32; override C: u32;
override bins: u32;
override samples: u32; // along an axis of a bin; 0: as many as it has cells
override scale: f32; override aligned: bool;
override side: u32; override words: u32;
override size: u32; // N · H · W · C

@group(0) @binding(0) var<storage, read> dy: array<elem>;
@group(0) @binding(1) var<storage, read> rois: array<f32>;
@group(0) @binding(2) var<storage, read> reached: array<u32>;
@group(0) @binding(3) var<storage, read_write> dx: array<elem>;

// First and last bin whose samples may touch a cell; all where bins have no extent.
fn near(start: f32, bin: f32, cell: u32, cells: u32) -> vec2u {
  if (!(bin > 0.0)) { return vec2u(0u, bins - 1u); }
  let low = select(f32(cell) - 1.0, -1.0, cell == 0u);
  let high = select(f32(cell) + 1.0, f32(cells), cell == cells - 1u);
  let bounds = floor((vec2f(low, high) - start) / bin);
  if (bounds.y < 0.0 || bounds.x >= f32(bins)) { return vec2u(1u, 0u); }
  return vec2u(clamp(bounds, vec2f(0.0), vec2f(f32(bins - 1u))));
}

// The sum over a bin's samples of a cell's share in each.
fn share(start: f32, bin: f32, number: u32, count: u32, cell: u32, cells: u32) -> f32 {
  var total = 0.0;
  for (var sample = 0u; sample < count; sample++) {
    let at = start + f32(number) * bin + (f32(sample) + 0.5) * bin / f32(count);
    let distance = abs(clamp(at, 0.0, f32(cells - 1u)) - f32(cell));
    if (at >= -1.0 && at <= f32(cells)) { total += max(0.0, 1.0 - distance); }
  }
  return total;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let channel = i % C;
  let w = i / C % W;
  let h = i / C / W % H;
  let n = i / C / W / H;
  let tilesAcross = (W + side - 1u) / side;
  let tilesDown = (H + side - 1u) / side;
  let tile = (n * tilesDown + h / side) * tilesAcross + w / side;
  let shift = select(0.0, 0.5, aligned);
  var total = elem(0.0);
  for (var word = 0u; word < words; word++) {
    var bits = reached[tile * words + word];
    while (bits != 0u) {
      let r = word * 32u + firstTrailingBit(bits);
      bits &= bits - 1u;
      let start = vec2f(rois[r * 5u + 1u], rois[r * 5u + 2u]) * scale - shift;
      let whole = vec2f(rois[r * 5u + 3u], rois[r * 5u + 4u]) * scale - shift - start;
      let bin = select(max(whole, vec2f(1.0)), whole, aligned) / f32(bins);
      var counts = vec2u(samples);
      if (samples == 0u) { counts = vec2u(max(ceil(bin), vec2f(0.0))); }
      let rows = near(start.y, bin.y, h, H);
      let columns = near(start.x, bin.x, w, W);
      var part = elem(0.0);
      for (var row = rows.x; row <= rows.y; row++) {
        let vertical = share(start.y, bin.y, row, counts.y, h, H);
        if (vertical == 0.0) { continue; }
        for (var column = columns.x; column <= columns.y; column++) {
          let across = share(start.x, bin.x, column, counts.x, w, W);
          if (across == 0.0) { continue; }
          part += dy[((r * bins + row) * bins + column) * C + channel] * (vertical * across);
        }
      }
      total += part / f32(max(counts.x * counts.y, 1u));
    }
  }
  dx[i] = total;
}
