/**
 * Ctrl-C and its like: the first one asks a run to end well, the second one ends it.
 *
 * @module
 */

/** Exit codes by convention: 128 + the number of the signal. */
const CODES = { SIGINT: 130, SIGTERM: 143, SIGBREAK: 149 } as const;
const SIGNALS: readonly (keyof typeof CODES)[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM"];

/**
 * Listens until `release`.
 *
 * @param then What happens at the first signal, for the user.
 */
export function onInterrupt(then = "finishing the step, then saving") {
  const controller = new AbortController();
  let code = 0;
  const listeners = SIGNALS.map((name) => {
    const listener = () => {
      code = CODES[name];
      release(); // so that another one ends the process
      console.error(`\n${name}: ${then}`);
      controller.abort();
    };
    Deno.addSignalListener(name, listener);
    return [name, listener] as const;
  });
  const release = () => {
    for (const [name, listener] of listeners.splice(0)) Deno.removeSignalListener(name, listener);
  };
  return { signal: controller.signal, code: () => code, release };
}
