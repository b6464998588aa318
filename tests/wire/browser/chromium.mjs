// A headless Chromium, driven over the DevTools protocol through a pipe: no package and no port is needed for that.

import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";

const ARGUMENTS = [
  "--headless=new",
  "--remote-debugging-pipe",
  "--no-first-run",
  "--disable-gpu",
  // Root in a container may make no sandbox, and has little shared memory.
  "--no-sandbox",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-extensions",
  "--disable-sync",
  "--no-proxy-server",
];

// Codes of the keys that have no character.
const KEYS = { Tab: 9, Enter: 13, " ": 32 };

/** One page. What it complains of is collected in `complaints`. */
export class Page {
  complaints = [];
  #browser; #session; #next = 1; #waiting = new Map(); #folder;

  static async open(program, folder) {
    const page = new Page();
    await page.#start(program, folder);
    return page;
  }

  async #start(program, folder) {
    this.#folder = folder;
    const args = [...ARGUMENTS, `--user-data-dir=${folder}`, "about:blank"];
    this.#browser = spawn(program, args, { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] });
    let said = "";
    this.#browser.stderr.on("data", (text) => { said = (said + text).slice(-4000); });
    this.#browser.on("error", (error) => this.#fail(error));
    this.#browser.on("exit", (code) => this.#fail(new Error(`${program} ended with ${code}: ${said}`)));
    this.#browser.stdio[3].on("error", () => {});
    let rest = "";
    this.#browser.stdio[4].setEncoding("utf8").on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop();
      for (const message of messages) this.#hear(JSON.parse(message));
    });

    const { targetInfos } = await this.call("Target.getTargets");
    const { targetId } = targetInfos.find(({ type }) => type === "page") ??
      (await this.call("Target.createTarget", { url: "about:blank" }));
    this.#session = (await this.call("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    for (const domain of ["Page", "Runtime", "Log"]) await this.call(`${domain}.enable`);
    await this.call("Emulation.setFocusEmulationEnabled", { enabled: true });
  }

  call(method, params = {}) {
    const id = this.#next++;
    this.#browser.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: this.#session })}\0`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject, method }));
  }

  #hear({ id, result, error, method, params }) {
    const call = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) call?.reject(new Error(`${call.method}: ${error.message}`));
    else call?.resolve(result);
    // Refusals of the content policy are entries of the log, too.
    if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level)) {
      this.complaints.push(`${params.entry.source}: ${params.entry.text} ${params.entry.url ?? ""}`);
    }
    if (method === "Runtime.exceptionThrown") {
      const { exception, text } = params.exceptionDetails;
      this.complaints.push(exception?.description ?? text);
    }
    if (method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(params.type)) {
      this.complaints.push(params.args.map(({ value, description }) => value ?? description).join(" "));
    }
  }

  #fail(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  async goto(url) {
    const { errorText } = await this.call("Page.navigate", { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await this.until(`document.readyState === "complete" && location.href === "${url}"`, `${url} is loaded`);
  }

  /** The value of an expression in the page. */
  async value(expression) {
    const answer = await this.call("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (answer.exceptionDetails) throw new Error(`${expression}: ${answer.exceptionDetails.exception?.description}`);
    return answer.result.value;
  }

  /** Waits until an expression is true in the page, and answers its value. */
  async until(expression, what, patience = 20_000) {
    const end = Date.now() + patience;
    for (;;) {
      const value = await this.value(expression);
      if (value) return value;
      if (Date.now() > end) throw new Error(`it did not happen that ${what}`);
      await pause(25);
    }
  }

  /** Presses a key, as on a keyboard. */
  async press(key, { shift = false } = {}) {
    const code = KEYS[key];
    if (!code) throw new Error(`no such key: ${key}`);
    const event = { key, code: key === " " ? "Space" : key, windowsVirtualKeyCode: code, modifiers: shift ? 8 : 0 };
    const text = { Enter: "\r", " ": " " }[key];
    await this.call("Input.dispatchKeyEvent", { ...event, type: text ? "keyDown" : "rawKeyDown", text });
    await this.call("Input.dispatchKeyEvent", { ...event, type: "keyUp" });
  }

  /** Writes into whatever has the focus. */
  async write(text) {
    await this.call("Input.insertText", { text });
  }

  async resize(width, height) {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
    await this.call("Emulation.setDeviceMetricsOverride", metrics);
  }

  /** A picture of all of the page, as PNG. */
  async picture() {
    const { data } = await this.call("Page.captureScreenshot", { captureBeyondViewport: true });
    return Buffer.from(data, "base64");
  }

  async close() {
    const ended = new Promise((resolve) => this.#browser.once("exit", resolve));
    this.call("Browser.close").catch(() => {});
    const killer = setTimeout(() => this.#browser.kill("SIGKILL"), 5000);
    await ended;
    clearTimeout(killer);
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
