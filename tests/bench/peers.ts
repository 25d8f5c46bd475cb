/**
 * The same work done by others, each in a process of its own on the same adapter.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/** What a peer says of a case: how long it took, or why it cannot. */
export interface PeerLine {
  readonly case: string;
  readonly peer: string;
  readonly ms?: number;
  readonly why?: string;
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** What peers call our benchmarks; they know no others. */
const GROUPS: Readonly<Record<string, string>> = {
  ...{ matmul: "matmul", depthwise: "depthwise", stream: "elementwise", step: "step" },
};

/** The commands; each prints one object a line. */
function commands(names: readonly string[]): { peer: string; command: string; args: string[] }[] {
  const config = here("peers/deno.json");
  const groups = names.flatMap((name) => GROUPS[name] ?? []);
  if (groups.length === 0) return [];
  const only = ["--only", groups.join(",")];
  const python = Deno.env.get("PYTHON") ?? "/usr/bin/python3";
  const deno = (program: string, ...options: string[]) => ({
    command: Deno.execPath(),
    args: ["run", "-A", "--no-check", "-c", config, here(`peers/${program}`), ...options, ...only],
  });
  return [
    { peer: "jax-js webgpu", ...deno("jax.ts", "--backend", "webgpu") },
    { peer: "jax-js wasm", ...deno("jax.ts", "--backend", "wasm") },
    { peer: "tfjs webgpu", ...deno("tfjs.ts") },
    {
      peer: "pytorch",
      command: python,
      args: [here("pytorch.py"), "--json", "--model", "quickstart,tiny,small,base", ...only],
    },
  ];
}

/**
 * Runs every peer on what it knows of these benchmarks.
 *
 * @param names Benchmarks, as `--only` takes them.
 * @param cases Cases that were measured here; a peer may do others too.
 */
export async function* runPeers(
  names: readonly string[],
  cases: ReadonlySet<string>,
): AsyncGenerator<PeerLine> {
  for (const { peer, command, args } of commands(names)) {
    const failed = (why: string): PeerLine => ({ case: "all", peer, why });
    let output: Deno.CommandOutput;
    try {
      output = await new Deno.Command(command, { args, stdout: "piped", stderr: "piped" }).output();
    } catch (error) {
      yield failed((error as Error).message);
      continue;
    }
    const lines = new TextDecoder().decode(output.stdout).split("\n").filter((line) =>
      line.startsWith("{")
    );
    for (const line of lines) {
      const found = JSON.parse(line) as PeerLine;
      if (cases.has(found.case)) yield { ...found, peer };
    }
    if (output.success) continue;
    const errors = new TextDecoder().decode(output.stderr).trim().split("\n");
    yield failed(errors.at(-1) ?? `ended with code ${output.code}`);
  }
}
