import assert from "node:assert/strict";
import { type Assignment, assignSlots, type Lifetime } from "../../../src/plan/memory.ts";
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
    assert.ok(slots[slotOf[i]] < 2 * a.bytes, `value ${i} wastes half of its slot`);
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

Deno.test("assignSlots() never lets two living values share a slot, fits all, and wastes less than half", () => {
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

Deno.test("assignSlots() takes the smallest free slot that fits", () => {
  const { slotOf, slots } = assignSlots([
    { bytes: 100, first: 0, last: 1 },
    { bytes: 70, first: 0, last: 1 },
    { bytes: 64, first: 2, last: 3 }, // both are free and large enough
    { bytes: 40, first: 4, last: 5 }, // 100 would waste more than half
  ]);
  assert.deepEqual(slots, [100, 70]);
  assert.deepEqual(slotOf, [0, 1, 1, 1]);
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
