/**
 * Makes sure that there is a WebGPU adapter that the kernels can run on and, where that is asked
 * for, a browser to look at pages with, or the stamps that scenes are made of.
 *
 * Debian and Ubuntu get Mesa's software Vulkan driver, Chromium and Tux Paint's stamps where this
 * may install them; elsewhere the command to run is printed. Tasks that need the device depend on
 * this one.
 */
import { STAMPS_FOLDER } from "../data/stamps/folder.ts";

/** WebGPU limits, by their names in the standard. */
export type Limits = Readonly<Record<string, number>>;

/** What the kernels need at least. A fallback to OpenGL, for one, offers less. */
export const NEEDED: Limits = {
  maxStorageBuffersPerShaderStage: 8,
  maxStorageBufferBindingSize: 128 * 2 ** 20, // bytes
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16 * 2 ** 10, // bytes
};

/** Where browsers are that the tests can drive. */
export const BROWSERS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/** How the set-up sees and changes a machine. */
export interface Machine {
  readonly os: string;
  /** Text of `/etc/os-release`, empty where there is none. */
  osRelease(): string;
  /** Limits of the adapter that WebGPU offers, or `null` without one. */
  adapterLimits(): Promise<Limits | null>;
  hasBrowser(): Promise<boolean>;
  hasStamps(): Promise<boolean>;
  /** Words before a command that run it as root, or `null` where that is not allowed. */
  rootPrefix(): Promise<readonly string[] | null>;
  /** Runs a command in silence; the end of its errors, or `null` if it succeeded. */
  run(command: readonly string[]): Promise<string | null>;
  /** Whether a new process finds an adapter: a loader missing in this one stays missing. */
  recheck(): Promise<boolean>;
  print(line: string): void;
}

/**
 * Looks for an adapter and, where that is possible, installs a driver for one.
 *
 * @param mayInstall `false` only looks.
 * @returns The exit code: 0 with an adapter, else 1.
 */
export async function setup(machine: Machine, mayInstall = true): Promise<number> {
  const problem = shortcoming(await machine.adapterLimits());
  if (problem === null) return 0;
  const fails = await install(machine, { ...DRIVER, problem }, mayInstall);
  if (fails) return 1;
  if (await machine.recheck()) return 0;
  machine.print("The driver is installed, but WebGPU still finds no adapter: run this again");
  return 1;
}

/**
 * Looks for a browser and, where that is possible, installs one.
 *
 * @returns The exit code: 0 with a browser, else 1.
 */
export async function setupBrowser(machine: Machine): Promise<number> {
  if (await machine.hasBrowser()) return 0;
  return await install(machine, BROWSER, true) ? 1 : 0;
}

/**
 * Looks for Tux Paint's stamps and, where that is possible, installs them.
 *
 * @returns The exit code: 0 with stamps, else 1.
 */
export async function setupStamps(machine: Machine): Promise<number> {
  if (await machine.hasStamps()) return 0;
  return await install(machine, STAMPS, true) ? 1 : 0;
}

/** The command that gets a browser on this machine, as advice. */
export function browserAdvice(machine: Machine = thisMachine): string {
  return BROWSER.advice[familyOf(machine)];
}

/** Something that Debian has packages for. */
interface Need {
  /** Why it is to be installed. */
  readonly problem: string;
  readonly name: string;
  readonly title: string;
  readonly packages: readonly string[];
  /** What to do where it cannot be installed from here. */
  readonly advice: Readonly<Record<Family, string>>;
}

/** Installs packages and says so; where that cannot be, says how and returns true. */
async function install(machine: Machine, need: Need, mayInstall: boolean): Promise<boolean> {
  const { problem, name, title, packages } = need;
  const family = familyOf(machine);
  const advice = need.advice[family];
  const prefix = mayInstall && family === "debian" ? await machine.rootPrefix() : null;
  if (prefix === null) {
    machine.print(`${problem}. ${advice}`);
    return true;
  }
  machine.print(`${problem}: installing ${title} (${packages.join(", ")})`);
  // Stale lists of one mirror need not stop the install, which tells better what failed.
  await machine.run([...prefix, APT, "update", "-qq"]);
  const command = [APT, "install", "-y", "-qq", "--no-install-recommends", ...packages];
  const failure = await machine.run([...prefix, ...command]);
  if (failure !== null) machine.print(`Cannot install the ${name}: ${failure}. ${advice}`);
  return failure !== null;
}

const APT = "/usr/bin/apt-get";
const SUDO = "/usr/bin/sudo";
const UNATTENDED = ["DEBIAN_FRONTEND", "noninteractive"] as const;

type Family = "debian" | "fedora" | "arch" | "alpine" | "linux" | "darwin" | "windows" | "other";

const DRIVER = {
  name: "driver",
  title: "Mesa's software Vulkan driver",
  packages: ["libvulkan1", "mesa-vulkan-drivers"],
  advice: {
    debian: "Install a driver: sudo apt-get install libvulkan1 mesa-vulkan-drivers",
    fedora: "Install a driver: sudo dnf install vulkan-loader mesa-vulkan-drivers",
    arch: "Install a driver: sudo pacman -S vulkan-icd-loader vulkan-swrast",
    alpine: "Install a driver: doas apk add vulkan-loader mesa-vulkan-swrast",
    linux: "Install your distribution's Vulkan loader and Mesa's Vulkan drivers",
    darwin: "WebGPU needs Metal here; update macOS: softwareupdate --install --all",
    windows:
      "WebGPU needs Direct3D 12 or Vulkan here; update the graphics driver: winget upgrade --all",
    other: "Install a Vulkan driver",
  },
};

const BROWSER: Need = {
  problem: "There is no browser to test pages with",
  name: "browser",
  title: "Chromium",
  packages: ["chromium"],
  advice: {
    debian: "Install one: sudo apt-get install chromium",
    fedora: "Install one: sudo dnf install chromium",
    arch: "Install one: sudo pacman -S chromium",
    alpine: "Install one: doas apk add chromium",
    linux: "Install your distribution's Chromium",
    darwin: "Install one: brew install --cask google-chrome",
    windows: "Install one: winget install Google.Chrome",
    other: "Install Chromium",
  },
};

const STAMPS: Need = {
  problem: `There are no stamps in ${STAMPS_FOLDER}`,
  name: "stamps",
  title: "Tux Paint's stamps",
  packages: ["tuxpaint-stamps-default"],
  advice: {
    debian: "Install them: sudo apt-get install tuxpaint-stamps-default",
    fedora: "Install them: sudo dnf install tuxpaint-stamps",
    arch: "Get them from https://tuxpaint.org/download",
    alpine: "Get them from https://tuxpaint.org/download",
    linux: "Get them from https://tuxpaint.org/download",
    darwin: "Get them from https://tuxpaint.org/download",
    windows: "Get them from https://tuxpaint.org/download",
    other: "Get them from https://tuxpaint.org/download",
  },
};

function shortcoming(limits: Limits | null): string | null {
  if (limits === null) return "WebGPU finds no adapter";
  const name = Object.keys(NEEDED).find((limit) => !(limits[limit] >= NEEDED[limit]));
  if (name === undefined) return null;
  return `The WebGPU adapter's ${name} is ${limits[name]}, but ${NEEDED[name]} is needed`;
}

function familyOf(machine: Machine): Family {
  const { os } = machine;
  if (os === "darwin" || os === "windows") return os;
  if (os !== "linux") return "other";
  const names = [...machine.osRelease().matchAll(/^(?:ID|ID_LIKE)="?([^"\n]*)"?$/gm)]
    .flatMap(([, value]) => value.split(" "));
  if (names.includes("debian") || names.includes("ubuntu")) return "debian";
  if (names.includes("fedora") || names.includes("rhel")) return "fedora";
  if (names.includes("arch")) return "arch";
  if (names.includes("alpine")) return "alpine";
  return "linux";
}

/** The machine that this runs on. */
const thisMachine: Machine = {
  os: Deno.build.os,
  osRelease() {
    try {
      return Deno.readTextFileSync("/etc/os-release");
    } catch {
      return ""; // not there: no distribution that is known here
    }
  },
  async adapterLimits() {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) return null;
    const limits = adapter.limits as unknown as Limits;
    return Object.fromEntries(Object.keys(NEEDED).map((name) => [name, limits[name]]));
  },
  async hasBrowser() {
    const found = await Promise.all(
      BROWSERS.map((path) => Deno.stat(path).then(() => true, () => false)),
    );
    return found.includes(true);
  },
  hasStamps: () => Deno.stat(STAMPS_FOLDER).then(() => true, () => false),
  async rootPrefix() {
    if (Deno.uid() === 0) return [];
    // Through env, since sudo drops the environment.
    const prefix = [SUDO, "-n", "/usr/bin/env", UNATTENDED.join("=")];
    return await this.run([...prefix, "true"]) === null ? prefix : null;
  },
  async run([program, ...args]) {
    try {
      const env = Object.fromEntries([UNATTENDED]);
      const command = new Deno.Command(program, { args, env, stdin: "null" });
      const { success, stderr } = await command.output();
      if (success) return null;
      const lines = new TextDecoder().decode(stderr).trim().split("\n");
      return lines.at(-1) || `${program} failed`;
    } catch (error) {
      return (error as Error).message; // such as a program that is not there
    }
  },
  async recheck() {
    return await this.run(["deno", "run", "--no-prompt", import.meta.filename!, "--check"]) ===
      null;
  },
  print: (line) => console.error(line),
};

if (import.meta.main) {
  // These need no adapter, and nothing else that this installs needs them.
  if (Deno.args.includes("--stamps")) Deno.exit(await setupStamps(thisMachine));
  // Tests that need a browser fail for want of one; the others can do without.
  if (Deno.args.includes("--browser")) await setupBrowser(thisMachine);
  Deno.exit(await setup(thisMachine, !Deno.args.includes("--check")));
}
