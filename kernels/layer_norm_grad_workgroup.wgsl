// Gradients of layer_norm on GPUs: dy [rows, C], x [rows, C], gain [C], moments [rows, 2] → dx [rows, C],
// partial [chunks, 2, C] (gain, bias). A workgroup takes `chunk` rows. A team of neighbouring invocations
// shares a row, a workgroup has one or more teams; one invocation has every `team`-th elem in registers:
// C <= 4 · team. C counts fours where the row allows it.

alias elem = f32;
override C: u32; override lanes: f32; // lanes: values in an elem
override rows: u32; override chunk: u32;
override team: u32; override size: u32; // invocations of a team and of a workgroup, powers of two

@group(0) @binding(0) var<storage, read> dy: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> gain: array<elem>;
@group(0) @binding(3) var<storage, read> moments: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> dx: array<elem>;
@group(0) @binding(5) var<storage, read_write> partial: array<elem>;

var<workgroup> sums: array<vec2f, size>;
var<workgroup> parts: array<elem, size>;

var<private> own_gain: array<elem, 4>;
var<private> gain_sum: array<elem, 4>;
var<private> bias_sum: array<elem, 4>;
var<private> normalised: array<elem, 4>;
var<private> g: array<elem, 4>; // dy · gain
var<private> lane: u32;
var<private> start: u32;
var<private> moment: vec2f; // mean, scale
var<private> plain: elem; // Σ g
var<private> along: elem; // Σ g · normalised
var<private> means: vec2f; // of both

const begin = 0u; const load = 1u; const store = 2u;

// A step with elem team · j + lane of a row.
fn at(j: u32, step: u32) {
  let i = team * j + lane;
  if (i >= C) { return; }
  if (step == begin) {
    own_gain[j] = gain[i];
  } else if (step == load) {
    let own = dy[start + i];
    normalised[j] = (x[start + i] - moment.x) * moment.y;
    gain_sum[j] += own * normalised[j];
    bias_sum[j] += own;
    g[j] = own * own_gain[j];
    plain += g[j];
    along += g[j] * normalised[j];
  } else {
    dx[start + i] = moment.y * (g[j] - means.x - normalised[j] * means.y);
  }
}
fn all(step: u32) { at(0u, step); at(1u, step); at(2u, step); at(3u, step); }

// The sums over the elems of all invocations of a team.
fn across(local: u32, v: elem, w: elem) -> vec2f {
  let ones = vec4f(lanes / 4.0);
  workgroupBarrier(); // the sums before were read
  sums[local] = vec2f(dot(vec4f(v), ones), dot(vec4f(w), ones));
  for (var half = team / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local % team < half) { sums[local] += sums[local + half]; }
  }
  workgroupBarrier();
  return sums[local / team * team];
}

// Adds up all teams' sums of an elem.
fn finish(local: u32, to: u32, i: u32, v: elem) {
  workgroupBarrier(); // the parts before were read
  parts[local] = v;
  workgroupBarrier();
  if (local >= team || i >= C) { return; }
  var total = v;
  for (var other = local + team; other < size; other += team) { total += parts[other]; }
  partial[to + i] = total;
}

@compute @workgroup_size(size)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let part = group.y * groups.x + group.x;
  let first = part * chunk;
  if (first >= rows) { return; }
  lane = local % team;
  let last = min(first + chunk, rows);
  let width = f32(C) * lanes;
  all(begin);
  for (var next = first; next < last; next += size / team) {
    let row = next + local / team;
    start = row * C;
    plain = elem(0.0);
    along = elem(0.0);
    if (row < last) {
      moment = moments[row];
      all(load);
    }
    means = across(local, plain, along) / width;
    if (row < last) { all(store); }
  }
  let to = part * 2u * C;
  finish(local, to, lane, gain_sum[0]); finish(local, to + C, lane, bias_sum[0]);
  finish(local, to, lane + team, gain_sum[1]); finish(local, to + C, lane + team, bias_sum[1]);
  finish(local, to, lane + 2u * team, gain_sum[2]); finish(local, to + C, lane + 2u * team, bias_sum[2]);
  finish(local, to, lane + 3u * team, gain_sum[3]); finish(local, to + C, lane + 3u * team, bias_sum[3]);
}
