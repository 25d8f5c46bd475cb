// Gradient of the largest values of windows that do not overlap: dy [N, YH, YW, C], x [N, H, W, C] → dx [N, H, W, C].
// Of equal values the first of a window gets all. One invocation per element of dx.

override H: u32; override W: u32; override C: u32;
override YH: u32; override YW: u32;
override side: u32; override stride: u32;
override size: u32; // N · H · W · C

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let cell = i / C;
  let n = cell / W / H;
  let row = cell / W % H / stride;
  let column = cell % W / stride;
  let down = cell / W % H % stride;
  let across = cell % W % stride;
  var largest = row < YH && column < YW && down < side && across < side;
  if (largest) {
    let first = ((n * H + row * stride) * W + column * stride) * C + i % C;
    for (var h = 0u; h < side; h++) {
      for (var w = 0u; w < side; w++) {
        let other = x[first + (h * W + w) * C];
        let earlier = h * side + w < down * side + across;
        if (other > x[i] || (earlier && other == x[i])) { largest = false; }
      }
    }
  }
  var value = 0.0;
  if (largest) { value = dy[((n * YH + row) * YW + column) * C + i % C]; }
  dx[i] = value;
}
