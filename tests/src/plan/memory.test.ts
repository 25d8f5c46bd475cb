import assert from "node:assert/strict";
import {
  type Assignment,
  assignSlots,
  type Lifetime,
  liveBytes,
  takeFrom,
} from "../../../src/plan/memory.ts";
import { fold, key, uniform } from "../../../src/random.ts";

/** Random lifetimes as a plan has them: an elementwise step may overwrite what dies in it. */
function randomLifetimes(seed: number): Lifetime[] {
  const draws = uniform(fold(key(7), seed), 1000);
  let next = 0;
  const draw = (n: number) => Math.floor(draws[next++] * n);
  const lifetimes: Lifetime[] = [];
  const count = 1 + draw(40);
  for (let first = 0; first < count; first++) {
    // A step may write several values; some die at once.
    const dying = lifetimes.keys().toArray().filter((i) => lifetimes[i].last === first);
    for (let outputs = 1 + Number(draw(4) === 0); outputs > 0; outputs--) {
      const over = draw(2) ? dying : undefined;
      const last = first + [0, 1, 1, 2, 3, 10][draw(6)];
      lifetimes.push({ bytes: 16 * 2 ** draw(4) + 16 * draw(3), first, last, over });
    }
  }
  return lifetimes;
}

const check = (lifetimes: readonly Lifetime[], { slotOf, slots, inPlace }: Assignment) => {
  lifetimes.forEach((a, i) => {
    assert.ok(slots[slotOf[i]] >= a.bytes, `value ${i} does not fit`);
    lifetimes.forEach((b, j) => {
      const together = i !== j && a.first <= b.last && b.first <= a.last;
      if (!together || slotOf[i] !== slotOf[j]) return;
      const overwrites = (i: number, j: number) =>
        inPlace.get(i) === j && lifetimes[i].over?.includes(j) &&
        lifetimes[j].last === lifetimes[i].first && lifetimes[j].first < lifetimes[i].first;
      assert.ok(overwrites(i, j) || overwrites(j, i), `values ${i} and ${j} share a slot`);
    });
  });
};

Deno.test("assignSlots() never lets two living values share a slot, and fits all", () => {
  let [shared, overwritten] = [0, 0];
  for (let seed = 0; seed < 400; seed++) {
    const lifetimes = randomLifetimes(seed);
    const assignment = assignSlots(lifetimes);
    check(lifetimes, assignment);
    shared += lifetimes.length - assignment.slots.length;
    overwritten += assignment.inPlace.size;
  }
  assert.ok(shared > 1000 && overwritten > 200, `only ${shared} reuses, ${overwritten} in place`);
});

/** Least bytes of whole slots: at each step the n-th largest value needs a slot of its own. */
function leastBytes(lifetimes: readonly Lifetime[], { inPlace }: Assignment): number {
  const least: number[] = [];
  const overwritten = new Set(inPlace.values());
  for (let step = 0; step <= Math.max(...lifetimes.map(({ last }) => last)); step++) {
    lifetimes.filter(({ first, last }, i) =>
      first <= step && step <= last && !(overwritten.has(i) && last === step)
    ).map(({ bytes }) => bytes).sort((a, b) => b - a).forEach((bytes, n) =>
      least[n] = Math.max(least[n] ?? 0, bytes)
    );
  }
  return least.reduce((sum, bytes) => sum + bytes, 0);
}

Deno.test("assignSlots() takes little more than lives at once, and than whole slots must", () => {
  const ratios = { live: [] as number[], least: [] as number[] };
  for (let seed = 0; seed < 400; seed++) {
    const lifetimes = randomLifetimes(seed);
    const assignment = assignSlots(lifetimes);
    const taken = assignment.slots.reduce((sum, bytes) => sum + bytes, 0);
    const steps = 1 + Math.max(...lifetimes.map(({ last }) => last));
    const live = Math.max(...liveBytes(lifetimes, assignment.inPlace, steps));
    const least = leastBytes(lifetimes, assignment);
    assert.ok(live <= least && least <= taken, `graph ${seed}: ${live}, ${least}, ${taken}`);
    ratios.live.push(taken / live);
    ratios.least.push(taken / least);
  }
  const mean = (all: number[]) => all.reduce((sum, x) => sum + x, 0) / all.length;
  assert.ok(mean(ratios.least) < 1.05, `${mean(ratios.least)}`);
  assert.ok(mean(ratios.live) < 1.15, `${mean(ratios.live)}`);
});

Deno.test("assignSlots() gives the largest values their slots first, and others the smallest free one", () => {
  const { slotOf, slots } = assignSlots([
    { bytes: 40, first: 0, last: 1 }, // first, and yet in the slot of a larger one that comes later
    { bytes: 70, first: 2, last: 3 },
    { bytes: 100, first: 2, last: 3 },
    { bytes: 64, first: 4, last: 5 }, // both are free and large enough
  ]);
  assert.deepEqual(slots, [100, 70]);
  assert.deepEqual(slotOf, [1, 1, 0, 1]);
});

Deno.test("takeFrom() takes the smallest buffer of a pool that wastes less than half, or adds one", () => {
  const pool = [100_000, 50_000, 60_000];
  assert.deepEqual(takeFrom(pool, [50_000, 49_000, 20_000, 100_000]), [1, 2, 3, 0]);
  assert.deepEqual(pool, [100_000, 50_000, 60_000, 20_000]);
});

Deno.test("assignSlots() overwrites what dies there, once, and only at the same size", () => {
  const dying = { bytes: 64, first: 0, last: 1 };
  const { slotOf, inPlace } = assignSlots([
    dying,
    { bytes: 64, first: 1, last: 1, over: [0] }, // nobody reads it
    { bytes: 64, first: 1, last: 2, over: [0] },
  ]);
  assert.equal(inPlace.size, 1);
  assert.notEqual(slotOf[1], slotOf[2]);
  const smaller = assignSlots([dying, { bytes: 48, first: 1, last: 2, over: [0] }]);
  assert.equal(smaller.inPlace.size, 0);
  assert.notEqual(smaller.slotOf[0], smaller.slotOf[1]);
  const living = assignSlots([{ ...dying, last: 2 }, { bytes: 64, first: 1, last: 2, over: [0] }]);
  assert.equal(living.inPlace.size, 0);
});
