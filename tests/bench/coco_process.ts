/** `deno task eval coco` in a process of its own; says on stderr what memory that took at most. */
import { main } from "../../pipelines/main.ts";

const [gt, dt] = Deno.args;
const code = await main(["eval", "coco", "--gt", gt, "--dt", dt]);
if (code === 0) {
  const [, kilobytes] = Deno.readTextFileSync("/proc/self/status").match(/^VmHWM:\s+(\d+) kB/m)!;
  console.error(JSON.stringify({ peakBytes: 1024 * Number(kilobytes) }));
}
Deno.exit(code);
