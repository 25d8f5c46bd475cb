/**
 * The command line: what `deno task pretrain`, `finetune`, `eval` and the others run.
 *
 * Exit codes: 0 all is well, 1 the run failed, 2 the command makes no sense as given.
 *
 * @module
 */
import { UsageError } from "./usage.ts";

/** Each command is loaded when it is asked for. */
const COMMANDS: Record<string, (args: string[]) => Promise<number>> = {
  pretrain: async (args) => await (await import("./pretrain_command.ts")).pretrainCommand(args),
  finetune: async (args) => await (await import("./finetune_command.ts")).finetuneCommand(args),
  eval: async (args) => await (await import("./eval_command.ts")).evalCommand(args),
  detect: async (args) => await (await import("./detect_command.ts")).detectCommand(args),
  fashion: async (args) => await (await import("./fashion_command.ts")).fashionCommand(args),
  motions: async (args) => await (await import("./video/motions_command.ts")).motionsCommand(args),
  scenes: async (args) => await (await import("./segment/scenes_command.ts")).scenesCommand(args),
  compare: async (args) => await (await import("./compare_command.ts")).compareCommand(args),
  report: async (args) => await (await import("./compare_command.ts")).reportCommand(args),
  convert: async (args) => await (await import("./convert_command.ts")).convertCommand(args),
  parity: async (args) => await (await import("./parity.ts")).parity(args),
  data: async (args) => await (await import("./verify_command.ts")).dataCommand(args),
  plan: async (args) => await (await import("./plan_command.ts")).planCommand(args),
  doctor: async () => await (await import("./doctor.ts")).doctor(),
};

/**
 * Runs a command and turns what goes wrong into one sentence.
 *
 * @returns The exit code.
 */
export async function main([name, ...args]: string[]): Promise<number> {
  try {
    const command = COMMANDS[name];
    if (!command) throw new UsageError(`Choose a command: ${Object.keys(COMMANDS).join(", ")}`);
    return await command(args);
  } catch (error) {
    console.error((error as Error).message);
    if (Deno.env.get("DEBUG")) console.error((error as Error).stack);
    return error instanceof UsageError ? 2 : 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
