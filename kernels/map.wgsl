// Template of fused elementwise work: operands, broadcast to one shape → results of that shape.
// One invocation per element, or per four elements where every operand's rows allow it.
// src/plan/map.ts replaces the parts between `begin` and `end`; as it stands the file doubles x0.

// begin types
alias elem = f32;
alias bits = u32;
// end types

override size: u32; // results, in elems

// begin operands
@group(0) @binding(0) var<storage, read> x0: array<elem>;
@group(0) @binding(1) var<storage, read_write> y0: array<elem>;
// end operands

// begin functions
// Rational fit of erf(x) / x in x² on [0, 3.92²]; relative error below 4e-7 in f32.
fn erf(x: elem) -> elem {
  let c = clamp(x, elem(-3.92), elem(3.92));
  let t = c * c;
  let p = ((((2.02576403e-6 * t + 2.84665056e-4) * t + 3.80781329e-3) * t + 5.28743224e-2) * t + 0.191544313) * t + 1.12837914;
  let q = ((((3.78291086e-5 * t + 1.17061345e-3) * t + 1.5054404e-2) * t + 0.114556846) * t + 0.503084406) * t + 1.0;
  return c * p / q;
}

fn gelu(x: elem) -> elem {
  return 0.5 * x * (1.0 + erf(x * 0.70710678));
}

// d gelu / dx = Φ(x) + x φ(x).
fn gelu_slope(x: elem) -> elem {
  return 0.5 * (1.0 + erf(x * 0.70710678)) + x * 0.39894228 * exp(-0.5 * x * x);
}

// 1 where x is finite, else 0; on the bits, since a compiler may assume that no NaN occurs.
fn finite(x: elem) -> elem {
  return select(elem(1.0), elem(0.0), (bitcast<bits>(x) & bits(0x7f800000u)) == bits(0x7f800000u));
}
// end functions

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  // begin body
  y0[i] = 2.0 * x0[i];
  // end body
}
