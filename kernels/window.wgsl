// Places maps within others: x [slabs, N, XH, XW, C] → y [rows, YW, C], the rows of N maps of height YH and then spare
// ones, with y[n, top + apart · h, left + apart · w] = Σ x[slab, n, step · h, step · w] over slabs; zero elsewhere.
// One invocation per element of y, or per four where C allows it (C and size then count fours).

alias elem = f32;
override N: u32; override XH: u32; override XW: u32; override C: u32;
override YH: u32; override YW: u32;
override slabs: u32;
override top: i32; override left: i32; // negative: cuts off
override apart: u32; override step: u32;
override size: u32; // rows · YW · C

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let cell = i / C;
  let n = cell / YW / YH;
  // Negative places become large ones, beyond every map.
  let down = u32(i32(cell / YW % YH) - top);
  let across = u32(i32(cell % YW) - left);
  let h = down / apart * step;
  let w = across / apart * step;
  var total = elem(0.0);
  if (n < N && h < XH && w < XW && down % apart == 0u && across % apart == 0u) {
    for (var slab = 0u; slab < slabs; slab++) {
      total += x[(((slab * N + n) * XH + h) * XW + w) * C + i % C];
    }
  }
  y[i] = total;
}
