// Which regions reach which tiles of side × side cells of a map: rois [R, 5] (image, x0, y0, x1, y1) →
// reached [N, ⌈H / side⌉, ⌈W / side⌉, words], a bit a region, the lowest of the first word for the first.
// One invocation per word.

override R: u32; override H: u32; override W: u32;
override side: u32;
override words: u32; // ⌈R / 32⌉
override samples: u32; // 0: regions without extent have none
override scale: f32; override aligned: bool;
override size: u32; // N · ⌈H / side⌉ · ⌈W / side⌉ · words

@group(0) @binding(0) var<storage, read> rois: array<f32>;
@group(0) @binding(1) var<storage, read_write> reached: array<u32>;

// Whether samples between two places touch cells first … first + side − 1: each touches those less than one away, and
// those beyond the border, by up to one, the cell there.
fn touches(a: f32, b: f32, first: u32, cells: u32) -> bool {
  let low = select(f32(first) - 1.0, -1.0, first == 0u);
  let high = min(f32(first + side), f32(cells));
  return max(a, b) >= low && min(a, b) <= high;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let tilesAcross = (W + side - 1u) / side;
  let tilesDown = (H + side - 1u) / side;
  let tile = i / words;
  let left = tile % tilesAcross * side;
  let top = tile / tilesAcross % tilesDown * side;
  let image = f32(tile / tilesAcross / tilesDown);
  let shift = select(0.0, 0.5, aligned);
  let first = i % words * 32u;
  var bits = 0u;
  for (var r = first; r < min(first + 32u, R); r++) {
    if (rois[r * 5u] != image) { continue; }
    let start = vec2f(rois[r * 5u + 1u], rois[r * 5u + 2u]) * scale - shift;
    var whole = vec2f(rois[r * 5u + 3u], rois[r * 5u + 4u]) * scale - shift - start;
    if (!aligned) { whole = max(whole, vec2f(1.0)); }
    let end = start + whole;
    let isAny = samples > 0u || (whole.x > 0.0 && whole.y > 0.0);
    if (isAny && touches(start.x, end.x, left, W) && touches(start.y, end.y, top, H)) {
      bits |= 1u << (r - first);
    }
  }
  reached[i] = bits;
}
