// Depthwise convolution as depthwise.wgsl computes it, for CPU adapters and kernels of at most 5 × 5:
// x [N, S, H, W, C], w [kt · k · k, C], bias [C] → y [N, S, H, W, C]. An image is one slot, S = kt = 1.
// `flip` turns the kernel. One invocation per tile of 4 × 8 of y and elem: since loads are what costs, it
// passes once over the rows of inputs that the tile needs, and keeps the last 4 rows of taps, one for each
// row of the tile. Arrays have constant indices only, so they lie in registers.
// C counts fours where the channels allow it.

alias elem = f32;
override S: u32; override H: u32; override W: u32; override C: u32;
override kt: u32; override k: u32; // odd, k ≤ 5
override flip: bool;
override size: u32; // N · S · ⌈H / 4⌉ · ⌈W / 8⌉ · C

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> w: array<elem>;
@group(0) @binding(2) var<storage, read> bias: array<elem>;
@group(0) @binding(3) var<storage, read_write> y: array<elem>;

alias Taps = array<elem, 5>; // a row of the kernel
alias Inputs = array<elem, 12>; // what it needs for a row of the tile
alias Sums = array<elem, 8>; // a row of the tile

// A row of the kernel.
fn taps(dt: u32, dy: u32, channel: u32) -> Taps {
  return Taps(
    tap(dt, dy, 0u, channel), tap(dt, dy, 1u, channel), tap(dt, dy, 2u, channel), tap(dt, dy, 3u, channel),
    tap(dt, dy, 4u, channel),
  );
}

fn tap(dt: u32, dy: u32, dx: u32, channel: u32) -> elem {
  let tap = (dt * k + dy) * k + dx;
  var value = elem(0.0);
  if (dy < k && dx < k) { value = w[select(tap, kt * k * k - 1u - tap, flip) * C + channel]; }
  return value;
}

// What a row of taps needs of the row of inputs that begins at `start`.
fn inputs(start: u32, col: u32) -> Inputs {
  return Inputs(
    input(start, col), input(start, col + 1u), input(start, col + 2u), input(start, col + 3u),
    input(start, col + 4u), input(start, col + 5u), input(start, col + 6u), input(start, col + 7u),
    input(start, col + 8u), input(start, col + 9u), input(start, col + 10u), input(start, col + 11u),
  );
}

// Zero outside of the row, where `col` may have wrapped below zero.
fn input(start: u32, col: u32) -> elem {
  var value = elem(0.0);
  if (col < W) { value = x[start + col * C]; }
  return value;
}

// Adds what row `dy` of the kernel makes of a row of inputs.
fn add(sums: ptr<function, Sums>, dy: u32, taps: Taps, row: Inputs) {
  if (dy >= k) { return; }
  add_tap(sums, taps[0], row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]);
  if (k < 3u) { return; }
  add_tap(sums, taps[1], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8]);
  add_tap(sums, taps[2], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9]);
  if (k < 5u) { return; }
  add_tap(sums, taps[3], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10]);
  add_tap(sums, taps[4], row[4], row[5], row[6], row[7], row[8], row[9], row[10], row[11]);
}

fn add_tap(
  sums: ptr<function, Sums>, tap: elem,
  x0: elem, x1: elem, x2: elem, x3: elem, x4: elem, x5: elem, x6: elem, x7: elem,
) {
  (*sums)[0] += tap * x0; (*sums)[1] += tap * x1; (*sums)[2] += tap * x2; (*sums)[3] += tap * x3;
  (*sums)[4] += tap * x4; (*sums)[5] += tap * x5; (*sums)[6] += tap * x6; (*sums)[7] += tap * x7;
}

fn store(start: u32, col: u32, value: elem) {
  if (col < W) { y[start + col * C] = value; }
}

fn store_row(map: u32, row: u32, col: u32, channel: u32, sums: Sums) {
  if (row >= H) { return; }
  let start = (map * H + row) * W * C + channel;
  store(start, col, sums[0]); store(start, col + 1u, sums[1]); store(start, col + 2u, sums[2]);
  store(start, col + 3u, sums[3]); store(start, col + 4u, sums[4]); store(start, col + 5u, sums[5]);
  store(start, col + 6u, sums[6]); store(start, col + 7u, sums[7]);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let strips = (W + 7u) / 8u;
  let bands = (H + 3u) / 4u;
  let channel = i % C;
  let col = i / C % strips * 8u;
  let row = i / C / strips % bands * 4u;
  let map = i / C / strips / bands; // n · S + slot
  let slot = map % S;
  let first = select(bias[channel], elem(0.0), flip);
  var y0 = Sums(first, first, first, first, first, first, first, first);
  var y1 = y0; var y2 = y0; var y3 = y0;
  for (var dt = 0u; dt < kt; dt++) {
    let from_slot = slot + dt - kt / 2u; // wraps below zero, and so fails the test
    if (from_slot >= S) { continue; }
    var w0 = Taps(); var w1 = Taps(); var w2 = Taps(); var w3 = Taps();
    for (var dy = 0u; dy < k + 3u; dy++) { // the row of taps that meets row 0 of the tile
      w3 = w2; w2 = w1; w1 = w0;
      w0 = taps(dt, dy, channel);
      let from_row = row + dy - k / 2u;
      if (from_row >= H) { continue; }
      let start = ((map - slot + from_slot) * H + from_row) * W * C + channel;
      let near = inputs(start, col - k / 2u);
      add(&y0, dy, w0, near); add(&y1, dy - 1u, w1, near);
      add(&y2, dy - 2u, w2, near); add(&y3, dy - 3u, w3, near);
    }
  }
  store_row(map, row, col, channel, y0); store_row(map, row + 1u, col, channel, y1);
  store_row(map, row + 2u, col, channel, y2); store_row(map, row + 3u, col, channel, y3);
}
