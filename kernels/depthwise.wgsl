// Depthwise convolution over space and time, stride 1, zero padding: x [N, S, H, W, C], w [kt · k · k, C],
// bias [C] → y [N, S, H, W, C]. An image is one slot, S = kt = 1. `flip` turns the kernel, which makes of
// it the input's gradient. One invocation per 8 neighbours in a row of y and elem: since loads are what
// costs, it slides a window of 8 inputs along each row of taps. C counts fours where the channels allow it.

alias elem = f32;
override S: u32; override H: u32; override W: u32; override C: u32;
override kt: u32; override k: u32; // odd
override flip: bool;
override size: u32; // N · S · H · ⌈W / 8⌉ · C

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> w: array<elem>;
@group(0) @binding(2) var<storage, read> bias: array<elem>;
@group(0) @binding(3) var<storage, read_write> y: array<elem>;

// An input of the row that begins at `start`; zero outside, where `col` may have wrapped below zero.
fn input(start: u32, col: u32) -> elem {
  var value = elem(0.0);
  if (col < W) { value = x[start + col * C]; }
  return value;
}

fn store(start: u32, col: u32, value: elem) {
  if (col < W) { y[start + col * C] = value; }
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
  let channel = i % C;
  let col = i / C % strips * 8u;
  let line = i / C / strips; // (n · S + slot) · H + row
  let row = line % H;
  let slot = line / H % S;
  let taps = kt * k * k;
  let first = select(bias[channel], elem(0.0), flip);
  var y0 = first; var y1 = first; var y2 = first; var y3 = first;
  var y4 = first; var y5 = first; var y6 = first; var y7 = first;
  for (var dt = 0u; dt < kt; dt++) {
    let from_slot = slot + dt - kt / 2u; // wraps below zero, and so fails the test
    if (from_slot >= S) { continue; }
    for (var dy = 0u; dy < k; dy++) {
      let from_row = row + dy - k / 2u;
      if (from_row >= H) { continue; }
      let start = ((line / H / S * S + from_slot) * H + from_row) * W * C + channel;
      let from_col = col - k / 2u;
      var x0 = input(start, from_col);
      var x1 = input(start, from_col + 1u);
      var x2 = input(start, from_col + 2u);
      var x3 = input(start, from_col + 3u);
      var x4 = input(start, from_col + 4u);
      var x5 = input(start, from_col + 5u);
      var x6 = input(start, from_col + 6u);
      for (var dx = 0u; dx < k; dx++) {
        let tap = (dt * k + dy) * k + dx;
        let weight = w[select(tap, taps - 1u - tap, flip) * C + channel];
        let x7 = input(start, from_col + dx + 7u);
        y0 += weight * x0; y1 += weight * x1; y2 += weight * x2; y3 += weight * x3;
        y4 += weight * x4; y5 += weight * x5; y6 += weight * x6; y7 += weight * x7;
        x0 = x1; x1 = x2; x2 = x3; x3 = x4; x4 = x5; x5 = x6; x6 = x7;
      }
    }
  }
  let start = line * W * C + channel;
  store(start, col, y0); store(start, col + 1u, y1); store(start, col + 2u, y2); store(start, col + 3u, y3);
  store(start, col + 4u, y4); store(start, col + 5u, y5); store(start, col + 6u, y6); store(start, col + 7u, y7);
}
