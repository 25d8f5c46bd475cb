import assert from "node:assert/strict";
import { resizeShortestEdge } from "../../../src/detection/resize_shortest_edge.ts";

Deno.test("resizeShortestEdge() makes the shorter side so long, unless the longer one gets too long", () => {
  assert.deepEqual(resizeShortestEdge([480, 640], 800, 1333), [800, 1067]);
  assert.deepEqual(resizeShortestEdge([640, 480], 800, 1333), [1067, 800]);
  assert.deepEqual(resizeShortestEdge([300, 300], 800, 1333), [800, 800]);
  assert.deepEqual(resizeShortestEdge([200, 640], 800, 1333), [417, 1333]);
});
