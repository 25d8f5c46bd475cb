import assert from "node:assert/strict";
import {
  type Limits,
  type Machine,
  NEEDED,
  setup,
  setupBrowser,
  setupStamps,
} from "../../pipelines/setup.ts";

interface Setting {
  os?: string;
  osRelease?: string;
  limits?: Limits | null;
  browser?: boolean;
  stamps?: boolean;
  rootPrefix?: string[] | null;
  failure?: (command: string) => string | null;
  recheck?: boolean;
}

/** Runs the set-up on an invented Debian without an adapter, changed by `setting`. */
function trySetup(setting: Setting, mayInstall?: boolean) {
  return onMachine(setting, (machine) => setup(machine, mayInstall));
}

function tryBrowser(setting: Setting) {
  return onMachine(setting, setupBrowser);
}

function tryStamps(setting: Setting) {
  return onMachine(setting, setupStamps);
}

async function onMachine(setting: Setting, act: (machine: Machine) => Promise<number>) {
  const printed: string[] = [];
  const commands: string[] = [];
  const machine: Machine = {
    os: setting.os ?? "linux",
    osRelease: () => setting.osRelease ?? 'PRETTY_NAME="Debian"\nID=debian\n',
    adapterLimits: () => Promise.resolve(setting.limits ?? null),
    hasBrowser: () => Promise.resolve(setting.browser ?? false),
    hasStamps: () => Promise.resolve(setting.stamps ?? false),
    rootPrefix: () => Promise.resolve(setting.rootPrefix === undefined ? [] : setting.rootPrefix),
    run(command) {
      commands.push(command.join(" "));
      return Promise.resolve(setting.failure?.(command.join(" ")) ?? null);
    },
    recheck: () => Promise.resolve(setting.recheck ?? true),
    print: (line) => printed.push(line),
  };
  return { code: await act(machine), printed, commands };
}

Deno.test("setup() says and does nothing where the adapter suffices", async () => {
  assert.deepEqual(await trySetup({ limits: NEEDED }), { code: 0, printed: [], commands: [] });
});

Deno.test("setup() installs Mesa as root on Debian, after one line", async () => {
  assert.deepEqual(await trySetup({}), {
    code: 0,
    printed: [
      "WebGPU finds no adapter: installing Mesa's software Vulkan driver " +
      "(libvulkan1, mesa-vulkan-drivers)",
    ],
    commands: [
      "/usr/bin/apt-get update -qq",
      "/usr/bin/apt-get install -y -qq " +
      "--no-install-recommends libvulkan1 mesa-vulkan-drivers",
    ],
  });
});

Deno.test("setup() installs through sudo on Debian's derivatives", async () => {
  const { code, commands } = await trySetup({
    osRelease: 'ID=linuxmint\nID_LIKE="ubuntu debian"\n',
    rootPrefix: ["/usr/bin/sudo", "-n"],
  });
  assert.equal(code, 0);
  assert.equal(commands.length, 2);
  assert.ok(commands.every((command) => command.startsWith("/usr/bin/sudo -n /usr/bin/")));
});

Deno.test("setup() takes an adapter with too small a limit for none, and names the limit", async () => {
  for (const name of Object.keys(NEEDED)) {
    const { code, printed } = await trySetup({
      limits: { ...NEEDED, [name]: 4 },
      rootPrefix: null,
    });
    assert.equal(code, 1);
    assert.deepEqual(printed, [
      `The WebGPU adapter's ${name} is 4, but ${NEEDED[name]} is needed. ` +
      "Install a driver: sudo apt-get install libvulkan1 mesa-vulkan-drivers",
    ]);
  }
});

Deno.test("setup() goes on to the install when only the package lists fail", async () => {
  const failure = (command: string) => command.includes("update") ? "mirror is down" : null;
  assert.equal((await trySetup({ failure })).code, 0);
});

Deno.test("setup() reports a failed install", async () => {
  const failure = (command: string) => command.includes("install") ? "E: no such package" : null;
  const { code, printed } = await trySetup({ failure });
  assert.equal(code, 1);
  assert.equal(
    printed.at(-1),
    "Cannot install the driver: E: no such package. Install a driver: sudo apt-get install libvulkan1 mesa-vulkan-drivers",
  );
});

Deno.test("setup() reports a driver that does not help", async () => {
  const { code, printed } = await trySetup({ recheck: false });
  assert.equal(code, 1);
  assert.equal(
    printed.at(-1),
    "The driver is installed, but WebGPU still finds no adapter: run this again",
  );
});

Deno.test("setup() installs nothing when it may only look", async () => {
  const { code, commands } = await trySetup({}, false);
  assert.deepEqual({ code, commands }, { code: 1, commands: [] });
});

Deno.test("setup() prints the command for every other platform and installs nothing", async () => {
  const platforms: [Setting, string][] = [
    [{ rootPrefix: null }, "apt-get install libvulkan1 mesa-vulkan-drivers"],
    [{ osRelease: "ID=fedora\n" }, "dnf install"],
    [{ osRelease: 'ID="rocky"\nID_LIKE="rhel centos fedora"\n' }, "dnf install"],
    [{ osRelease: "ID=arch\n" }, "pacman -S"],
    [{ osRelease: "ID=alpine\n" }, "apk add"],
    [{ osRelease: "" }, "your distribution's Vulkan loader"],
    [{ os: "darwin" }, "softwareupdate"],
    [{ os: "windows" }, "winget upgrade"],
    [{ os: "freebsd" }, "Install a Vulkan driver"],
  ];
  for (const [setting, advice] of platforms) {
    const { code, printed, commands } = await trySetup(setting);
    assert.deepEqual([code, printed.length, commands.length], [1, 1, 0]);
    assert.match(printed[0], /^WebGPU finds no adapter\. /);
    assert.ok(printed[0].includes(advice), printed[0]);
  }
});

Deno.test("setupBrowser() says and does nothing where there is a browser", async () => {
  assert.deepEqual(await tryBrowser({ browser: true }), { code: 0, printed: [], commands: [] });
});

Deno.test("setupBrowser() installs Chromium as root on Debian, after one line", async () => {
  assert.deepEqual(await tryBrowser({}), {
    code: 0,
    printed: ["There is no browser to test pages with: installing Chromium (chromium)"],
    commands: [
      "/usr/bin/apt-get update -qq",
      "/usr/bin/apt-get install -y -qq --no-install-recommends chromium",
    ],
  });
});

Deno.test("setupBrowser() prints the command where it cannot install", async () => {
  const failure = (command: string) => command.includes("install") ? "E: no such package" : null;
  const settings: [Setting, string][] = [
    [{ rootPrefix: null }, "sudo apt-get install chromium"],
    [{ failure }, "sudo apt-get install chromium"],
    [{ os: "darwin" }, "brew install --cask google-chrome"],
    [{ osRelease: "ID=fedora\n" }, "sudo dnf install chromium"],
  ];
  for (const [setting, advice] of settings) {
    const { code, printed } = await tryBrowser(setting);
    assert.equal(code, 1);
    assert.ok(printed.at(-1)!.endsWith(`. Install one: ${advice}`), `${printed}`);
  }
});

Deno.test("setupStamps() says and does nothing where there are stamps", async () => {
  assert.deepEqual(await tryStamps({ stamps: true }), { code: 0, printed: [], commands: [] });
});

Deno.test("setupStamps() installs Tux Paint's stamps as root on Debian, after one line", async () => {
  assert.deepEqual(await tryStamps({}), {
    code: 0,
    printed: [
      "There are no stamps in /usr/share/tuxpaint/stamps: installing Tux Paint's stamps " +
      "(tuxpaint-stamps-default)",
    ],
    commands: [
      "/usr/bin/apt-get update -qq",
      "/usr/bin/apt-get install -y -qq --no-install-recommends tuxpaint-stamps-default",
    ],
  });
});

Deno.test("setupStamps() prints where to get them where it cannot install", async () => {
  const failure = (command: string) => command.includes("install") ? "E: no such package" : null;
  const settings: [Setting, string][] = [
    [{ rootPrefix: null }, "Install them: sudo apt-get install tuxpaint-stamps-default"],
    [{ failure }, "Install them: sudo apt-get install tuxpaint-stamps-default"],
    [{ osRelease: "ID=fedora\n" }, "Install them: sudo dnf install tuxpaint-stamps"],
    [{ osRelease: "ID=arch\n" }, "Get them from https://tuxpaint.org/download"],
    [{ os: "darwin" }, "Get them from https://tuxpaint.org/download"],
  ];
  for (const [setting, advice] of settings) {
    const { code, printed } = await tryStamps(setting);
    assert.equal(code, 1);
    assert.ok(printed.at(-1)!.endsWith(`. ${advice}`), `${printed}`);
  }
});
