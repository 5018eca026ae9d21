// A real browser, driven line by line: one JSON command in, one JSON answer out. Debian's Chromium under playwright-core.
//
//   {"do": "window", "window": "a", "options": {…}}   a window of its own (no cookies or storage shared with others)
//   {"do": "goto", "window": "a", "url": "…"}
//   {"do": "fill" | "click" | "press" | "wait" | "gone" | "text" | "count", "window": "a", "at": SELECTOR, "value": …}
//   {"do": "focused", "window": "a"}                   what has the focus: its id, or its name
//   {"do": "noise", "window": "a"}                     errors and requests to other places so far
//   {"do": "write", "window": "a", "at": SELECTOR, "value": "…"}   puts a text into the page
//   {"do": "shot", "window": "a", "file": "…"}         a screenshot of the whole page
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const { executable, within } = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: executable,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const windows = new Map();

async function open({ window, options = {} }) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(within);
  const noise = [];
  page.on("console", (message) => message.type() === "error" && noise.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => noise.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => (noise.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  page.on("request", (request) => {
    const own = page.url() === "about:blank" ? null : new URL(page.url()).origin;
    if (own && new URL(request.url()).origin !== own) noise.push(`request: ${request.url()}`);
  });
  windows.set(window, { page, noise });
}

const deeds = {
  goto: ({ page }, { url }) => page.goto(url).then(() => null),
  fill: ({ page }, { at, value }) => page.locator(at).fill(value).then(() => null),
  click: ({ page }, { at }) => page.locator(at).click().then(() => null),
  press: ({ page }, { value }) => page.keyboard.press(value).then(() => null),
  wait: ({ page }, { at }) => page.locator(at).first().waitFor({ state: "visible" }).then(() => null),
  gone: ({ page }, { at }) => page.locator(at).first().waitFor({ state: "hidden" }).then(() => null),
  text: ({ page }, { at }) => page.locator(at).first().innerText(),
  count: ({ page }, { at }) => page.locator(at).count(),
  focused: ({ page }) => page.evaluate(() => document.activeElement.id || document.activeElement.textContent),
  storage: ({ page }) =>
    page.evaluate(() => ({ local: localStorage.length, session: sessionStorage.length, cookie: document.cookie })),
  wide: ({ page }) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
  write: ({ page }, { at, value }) =>
    page.locator(at).evaluate((node, text) => void (node.textContent = text), value).then(() => null),
  noise: ({ noise }) => noise,
  shot: ({ page }, { file, value }) => page.screenshot({ path: file, fullPage: value !== false }).then(() => null),
};

console.log(JSON.stringify({ event: "ready", version: browser.version() }));
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    if (command.do === "window") answer = { ok: await open(command) };
    else answer = { ok: (await deeds[command.do](windows.get(command.window), command)) ?? null };
  } catch (error) {
    answer = { error: String(error.message ?? error).split("\n").slice(0, 12).join(" | ") };
  }
  console.log(JSON.stringify({ event: "done", number: command.number, ...answer }));
}
await browser.close();
