// Partial gradients of depthwise as depthwise_grad.wgsl computes them, for CPU adapters and kernels of at
// most 5 × 5: dy [N, S, H, W, C], x [N, S, H, W, C] → weight [chunks, kt · k · k, C], bias [chunks, C].
// One invocation adds `chunk` rows of the maps for all k · k taps of a slot of the kernel and elem: since
// loads are what costs, it loads dy once, and slides a window of 5 inputs along each of k rows. That of the
// middle slot also adds dy. Arrays have constant indices only, so they lie in registers.
// C counts fours where the channels allow it.

alias elem = f32;
override S: u32; override H: u32; override W: u32; override C: u32;
override kt: u32; override k: u32; // odd, k ≤ 5
override rows: u32; override chunk: u32; // rows = N · S · H
override size: u32; // chunks · kt · C

@group(0) @binding(0) var<storage, read> dy: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> weight: array<elem>;
@group(0) @binding(3) var<storage, read_write> bias: array<elem>;

alias Taps = array<elem, 5>; // a row of the kernel, or the inputs that it meets

// An input of the map that begins at `start`; zero outside, where `row` or `col` wrapped below zero too.
fn input(start: u32, row: u32, col: u32) -> elem {
  var value = elem(0.0);
  if (row < H && col < W) { value = x[start + (row * W + col) * C]; }
  return value;
}

// The window one step before the first column.
fn window(start: u32, row: u32) -> Taps {
  let col = 0u - k / 2u;
  return Taps(
    elem(0.0),
    input(start, row, col), input(start, row, col + 1u), input(start, row, col + 2u), input(start, row, col + 3u),
  );
}

// Moves the window of a row of taps on by `next`, and adds what it makes of dy there.
fn add(sums: ptr<function, Taps>, near: ptr<function, Taps>, next: elem, slope: elem) {
  *near = Taps((*near)[1], (*near)[2], (*near)[3], (*near)[4], next);
  (*sums)[0] += slope * (*near)[0]; (*sums)[1] += slope * (*near)[1]; (*sums)[2] += slope * (*near)[2];
  (*sums)[3] += slope * (*near)[3]; (*sums)[4] += slope * (*near)[4];
}

fn store(start: u32, tap: u32, value: elem) {
  if (tap < k) { weight[start + tap * C] = value; }
}

fn store_row(line: u32, row: u32, channel: u32, sums: Taps) {
  if (row >= k) { return; }
  let start = (line * k + row) * k * C + channel;
  store(start, 0u, sums[0]); store(start, 1u, sums[1]); store(start, 2u, sums[2]);
  store(start, 3u, sums[3]); store(start, 4u, sums[4]);
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
  let line = i / C; // chunk's index · kt + slot of the kernel
  let first = line / kt * chunk;
  var a0 = Taps(); var a1 = Taps(); var a2 = Taps(); var a3 = Taps(); var a4 = Taps();
  var total = elem(0.0);
  for (var r = first; r < min(first + chunk, rows); r++) {
    let from_slot = r / H % S + line % kt - kt / 2u; // wraps below zero, and so fails the test
    if (from_slot >= S) { continue; }
    let start = (r / H / S * S + from_slot) * H * W * C + channel;
    let row = r % H - k / 2u; // that the first row of taps meets
    var x0 = window(start, row); var x1 = window(start, row + 1u); var x2 = window(start, row + 2u);
    var x3 = window(start, row + 3u); var x4 = window(start, row + 4u);
    for (var col = 0u; col < W; col++) {
      let slope = dy[(r * W + col) * C + channel];
      let next = col + 4u - k / 2u;
      total += slope;
      add(&a0, &x0, input(start, row, next), slope);
      if (k >= 3u) {
        add(&a1, &x1, input(start, row + 1u, next), slope);
        add(&a2, &x2, input(start, row + 2u, next), slope);
      }
      if (k >= 5u) {
        add(&a3, &x3, input(start, row + 3u, next), slope);
        add(&a4, &x4, input(start, row + 4u, next), slope);
      }
    }
  }
  store_row(line, 0u, channel, a0); store_row(line, 1u, channel, a1); store_row(line, 2u, channel, a2);
  store_row(line, 3u, channel, a3); store_row(line, 4u, channel, a4);
  if (line % kt == kt / 2u) { bias[line / kt * C + channel] = total; }
}
