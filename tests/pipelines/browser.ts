/** A headless Chromium that opens a page and tells what it did, over the DevTools protocol. */
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { browserAdvice, BROWSERS } from "../../pipelines/setup.ts";

/** What a page has done since it was opened. */
export interface Visit {
  /** Console messages, by kind and text. */
  readonly messages: readonly string[];
  readonly exceptions: readonly string[];
  /** Addresses that were asked for, without the page's own and those with the data in them. */
  readonly requests: readonly string[];
  /** Value of an expression in the page. */
  evaluate<Value>(expression: string): Promise<Value>;
  /** The whole page as a PNG file. */
  screenshot(): Promise<Uint8Array>;
}

/**
 * Opens a page on a phone and on a desk, by day and by night, and checks that it is whole: nothing
 * is said, thrown or asked for, every picture shows, every chart has a curve, nothing sticks out of
 * the page or its card.
 *
 * @param charts Titles of its charts, in order.
 * @param pictures How many there are.
 */
export async function checkPage(path: string, charts: string[], pictures: number): Promise<void> {
  await using browser = await openBrowser();
  for (const scheme of ["light", "dark"] as const) {
    for (const width of [360, 1280]) {
      const page = await browser.open(path, { width, scheme });
      const found = await page.evaluate(`({
        titles: [...document.querySelectorAll(".chart h3")].map((title) => title.textContent),
        drawn: [...document.querySelectorAll(".chart svg")]
          .filter((svg) => svg.querySelector("[aria-label=line] path[d*=L], [aria-label=dot] circle"))
          .filter((svg) => !svg.innerHTML.includes("NaN"))
          .filter((svg) => svg.getBoundingClientRect().width > 250).length,
        labelled: document.querySelectorAll(".chart svg[role=img][aria-label]").length,
        shown: [...document.images].filter((img) => img.complete && img.naturalWidth > 0).length,
        images: document.images.length,
        overflow: document.documentElement.scrollWidth - innerWidth,
        outside: (${outside})(),
        isDark: parseInt(getComputedStyle(document.body).backgroundColor.slice(4)) < 128,
        scripts: document.scripts.length,
        headings: document.querySelectorAll("h1").length,
      })`);
      assert.deepEqual(found, {
        titles: charts,
        drawn: charts.length,
        labelled: charts.length,
        shown: pictures,
        images: pictures,
        overflow: 0,
        outside: [],
        isDark: scheme === "dark",
        scripts: 0,
        headings: 1,
      });
      assert.deepEqual([page.messages, page.exceptions, page.requests], [[], [], []]);
    }
  }
}

/** Runs in the page: texts that reach out of their card or over their neighbour. */
const outside = `() => {
  const found = [];
  for (const box of document.querySelectorAll(".card, .chart, .facts > div, header")) {
    const { left, right } = box.getBoundingClientRect();
    const texts = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode;
      if (text.data.trim() === "" || text.parentElement.closest(".scroll")) continue;
      const range = document.createRange();
      range.selectNodeContents(text);
      const place = range.getBoundingClientRect();
      if (place.left < left - 1 || place.right > right + 1) found.push(text.data);
    }
  }
  return found;
}`;

/** How a page is looked at. */
export interface View {
  /** CSS pixels. */
  readonly width: number;
  readonly scheme: "light" | "dark";
}

/** A browser that ends with its scope. */
export interface Browser extends AsyncDisposable {
  open(path: string, view: View): Promise<Visit>;
}

/**
 * Starts Chromium.
 *
 * @throws {Error} If there is none; it says what to install.
 */
export async function openBrowser(): Promise<Browser> {
  const profile = await Deno.makeTempDir();
  const process = start(profile);
  const end = async () => {
    try {
      process.kill();
    } catch {
      // it has ended by itself
    }
    await process.stdout.cancel().catch(() => {});
    await process.status;
    await removed(profile);
  };
  try {
    const send = await connect(await addressOf(process.stderr));
    return {
      open: (path, view) => visit(send, pathToFileURL(path).href, view),
      async [Symbol.asyncDispose]() {
        await send("Browser.close").catch(() => {});
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

function start(profile: string): Deno.ChildProcess {
  const args = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-port=0",
    `--user-data-dir=${profile}`,
    "about:blank",
  ];
  for (const program of BROWSERS) {
    try {
      const env = { HOME: profile, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile };
      return new Deno.Command(program, {
        args,
        env,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      })
        .spawn();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  const advice = browserAdvice();
  throw new Error(
    `Cannot test pages without a browser: ${advice[0].toLowerCase()}${advice.slice(1)}`,
  );
}

/** Where Chromium says that it listens; the rest of what it says is read and forgotten. */
function addressOf(stderr: ReadableStream<Uint8Array>): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    const lines = stderr.pipeThrough(new TextDecoderStream());
    (async () => {
      for await (const text of lines) {
        if (said.length < 10_000) said += text;
        const address = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
        if (address) resolve(address);
      }
      reject(new Error(`Chromium ended before it listened: ${said.trim().split("\n").at(-1)}`));
    })();
  });
}

// deno-lint-ignore no-explicit-any -- the protocol's answers differ from method to method
type Answer = any;
type Send = {
  (method: string, params?: object, sessionId?: string): Promise<Answer>;
  /** Calls back for each event of a session. */
  events: Map<string, (method: string, params: Answer) => void>;
};

async function connect(address: string): Promise<Send> {
  const socket = new WebSocket(address);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error(`Cannot connect to Chromium at ${address}`));
  });
  const waiting = new Map<number, PromiseWithResolvers<Answer>>();
  const events: Send["events"] = new Map();
  socket.onmessage = ({ data }) => {
    const { id, result, error, method, params, sessionId } = JSON.parse(data);
    if (id === undefined) return events.get(sessionId)?.(method, params);
    if (error) waiting.get(id)!.reject(new Error(error.message));
    else waiting.get(id)!.resolve(result);
    waiting.delete(id);
  };
  socket.onclose = () => {
    for (const { reject } of waiting.values()) reject(new Error("Chromium has ended"));
  };
  let last = 0;
  const send = (method: string, params: object = {}, sessionId?: string) => {
    const id = ++last;
    const answer = Promise.withResolvers<Answer>();
    waiting.set(id, answer);
    socket.send(JSON.stringify({ id, method, params, sessionId }));
    return answer.promise;
  };
  return Object.assign(send, { events });
}

async function visit(send: Send, url: string, { width, scheme }: View): Promise<Visit> {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const call = (method: string, params?: object) => send(method, params, sessionId);
  const messages: string[] = [];
  const exceptions: string[] = [];
  const requests: string[] = [];
  const loaded = Promise.withResolvers<void>();
  send.events.set(sessionId, (method, params) => {
    if (method === "Runtime.consoleAPICalled") {
      messages.push(`${params.type}: ${params.args.map((arg: Answer) => arg.value).join(" ")}`);
    } else if (method === "Log.entryAdded") {
      messages.push(`${params.entry.level}: ${params.entry.text}`);
    } else if (method === "Runtime.exceptionThrown") {
      exceptions.push(params.exceptionDetails.exception?.description ?? "unknown");
    } else if (method === "Network.requestWillBeSent") {
      const asked: string = params.request.url;
      if (asked !== url && !asked.startsWith("data:")) requests.push(asked);
    } else if (method === "Page.loadEventFired") loaded.resolve();
  });
  for (const domain of ["Runtime", "Log", "Network", "Page"]) await call(`${domain}.enable`);
  await call("Emulation.setDeviceMetricsOverride", {
    width,
    height: 800,
    deviceScaleFactor: 1,
    mobile: false,
  });
  await call("Emulation.setEmulatedMedia", {
    features: [{ name: "prefers-color-scheme", value: scheme }],
  });
  const { errorText } = await call("Page.navigate", { url });
  if (errorText) throw new Error(`Cannot open ${url}: ${errorText}`);
  await loaded.promise;
  return {
    messages,
    exceptions,
    requests,
    async evaluate(expression) {
      const { result, exceptionDetails } = await call("Runtime.evaluate", {
        expression,
        returnByValue: true,
        awaitPromise: true,
      });
      if (exceptionDetails) throw new Error(exceptionDetails.exception.description);
      return result.value;
    },
    async screenshot() {
      const { data } = await call("Page.captureScreenshot", { captureBeyondViewport: true });
      return Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    },
  };
}

/** Removes a folder that a process which has just ended may still be writing to. */
async function removed(folder: string): Promise<void> {
  for (let left = 20; left >= 0; left--) {
    try {
      return await Deno.remove(folder, { recursive: true });
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
