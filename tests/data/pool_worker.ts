// Does as it is told, for the tests of the pool.
import { serve } from "../../data/pool.ts";

serve<{ dies: boolean }, string, string>(({ dies }) => {
  if (dies) Deno.exit(1);
  return async (job) => {
    if (job.startsWith("exit")) Deno.exit(1);
    if (job.startsWith("throw")) throw new Error(`threw at ${job}`);
    if (job.startsWith("hang")) await new Promise(() => {});
    return { answer: job.toUpperCase() };
  };
});
