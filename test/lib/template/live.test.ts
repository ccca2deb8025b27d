/** The client over real HTTP, under the strict policy that a site sends: forms, data fetched again, upgrades. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, Page as Tab } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import { jsonScript, render } from "#lib/template/html.ts";
import { needing } from "../../kit/needs.ts";
import { openBrowser, scriptOf } from "./chromium.ts";
import { Likes, Thread } from "./fixtures/parts.ts";

const { test } = needing("chromium");

let browser: Browser;
let tab: Tab;
let server: Server;
let url: string;
let script: string;
/** What the test's server answers, and what it was asked. */
let answers: Record<string, (body: string, response: ServerResponse) => void>;
let asked: string[];
const violations: string[] = [];

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types cage-template";
const surfaceType = "application/vnd.surface+json";
const json = (response: ServerResponse, value: unknown) => {
  response.setHeader("content-type", surfaceType);
  response.end(JSON.stringify(value));
};
const posts = (...ids: number[]) => ids.map((id) => ({ id: String(id), body: `post ${id}`, n: id }));

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = "";
  for await (const chunk of request) body += chunk;
  const key = `${request.method} ${request.url}`;
  asked.push(`${key} ${body}${request.headers.accept === surfaceType ? " (client)" : ""}`);
  response.setHeader("content-security-policy", policy);
  const answer = answers[key];
  if (answer) return answer(body, response);
  response.setHeader("content-type", "text/html; charset=utf-8");
  response.statusCode = request.url === "/" ? 200 : 404;
  response.end(
    `<!doctype html><html lang="en"><head><title>t</title><link rel="stylesheet" href="/old.css" s-style="site"></head><body>${render({}, () => Thread({ id: "7", title: "T", posts: posts(1, 2) }))}
    <form method="post" action="/reply"><textarea name="body"></textarea><input name="action" value="x"><button name="by" value="button">Send</button></form>
    ${jsonScript("live", { cx: {}, channels: { "thread:7": { token: "t", position: "1" } }, data: "/-/data/t/7" })}<script type="module" src="/client.js"></script></body></html>`,
  );
}

beforeAll(async () => {
  server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  [browser, script] = await Promise.all([openBrowser(), scriptOf("test/lib/template/fixtures/client.ts")]);
  tab = await browser.newPage();
  tab.on("console", (message) => {
    if (/violates|Trusted/.test(message.text())) violations.push(message.text());
  });
});
afterAll(async () => {
  await browser?.close();
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});
beforeEach(async () => {
  const text = (type: string, body: string) => (_: string, response: ServerResponse) => {
    response.setHeader("content-type", type);
    response.end(body);
  };
  asked = [];
  answers = {
    "GET /client.js": text("text/javascript", script),
    "GET /old.css": text("text/css", ""),
    "GET /new.css": text("text/css", "h1 { color: rgb(1, 2, 3) }"),
    "GET /favicon.ico": text("image/x-icon", ""),
  };
  await tab.goto(url);
  await tab.waitForFunction("globalThis.surface !== undefined");
});

test("a form is answered by frames, is emptied when it did its work, and is not sent twice", async () => {
  let release: () => void = () => {};
  answers["POST /reply"] = (_, response) => {
    release = () =>
      json(response, {
        reset: true,
        frames: [{ s: "test/thread:7", l: "posts", op: "add", k: "3", b: null, c: "test/post", p: posts(3)[0] }],
      });
  };
  await tab.fill("textarea", "hello & more");
  const sent = tab.waitForRequest(`${url}/reply`);
  await tab.click("form > button");
  await sent;
  await tab.click("form > button");
  await tab.waitForSelector("form[s-busy]");
  await expect
    .poll(() => asked.filter((line) => line.startsWith("POST")))
    .toEqual(["POST /reply body=hello+%26+more&action=x&by=button (client)"]);
  release();
  await tab.waitForSelector("#p3");
  await tab.waitForSelector("form:not([s-busy])");
  expect(await tab.inputValue("textarea")).toBe("");
  expect(await tab.evaluate(() => globalThis.surface.failures)).toEqual([]);
});

test("the next act waits for the answer to this one, and what is typed meanwhile stays", async () => {
  const releases: (() => void)[] = [];
  answers["POST /reply"] = (_, response) => void releases.push(() => json(response, { reset: true }));
  const sentOnes = () => asked.filter((line) => line.startsWith("POST")).map((line) => /body=(\w*)/.exec(line)?.[1]);
  await tab.fill("textarea", "one");
  await tab.click("form > button");
  await expect.poll(() => releases.length).toBe(1);
  await tab.fill("textarea", "two");
  await tab.click("form > button");
  await tab.fill("textarea", "twoandmore");
  releases[0]?.();
  await expect.poll(() => releases.length).toBe(2);
  await tab.fill("textarea", "three");
  releases[1]?.();
  await tab.waitForSelector("form:not([s-busy])");
  expect(sentOnes()).toEqual(["one", "twoandmore"]);
  expect(await tab.inputValue("textarea")).toBe("three");
});

test("a form's answer may say where to go", async () => {
  answers["POST /reply"] = (_, response) => json(response, { to: "/elsewhere" });
  await tab.click("form > button");
  await tab.waitForURL(`${url}/elsewhere`);
});

test("when a page answers instead, the form is sent the plain way", async () => {
  answers["POST /reply"] = (_, response) => {
    response.setHeader("content-type", "text/html");
    response.end("<!doctype html><title>x</title><h1>a page</h1>");
  };
  await tab.click("form > button");
  await tab.waitForFunction(() => document.querySelector("h1")?.textContent === "a page");
  expect(asked.filter((line) => line.startsWith("POST")).map((line) => line.endsWith("(client)"))).toEqual([
    true,
    false,
  ]);
});

test("without scripts the same form posts", async () => {
  const plain = await browser.newContext({ javaScriptEnabled: false });
  const own = await plain.newPage();
  answers["POST /reply"] = (body, response) => response.writeHead(303, { location: `/?${body.length}` }).end();
  await own.goto(url);
  await own.fill("textarea", "plain");
  await own.click("form > button");
  await own.waitForURL(/\?\d+$/);
  await plain.close();
});

test("a gap fetches the page's data once, shows it in place and listens from its new position", async () => {
  answers["GET /-/data/t/7"] = (_, response) =>
    json(response, {
      frames: [{ s: "test/thread:7", p: { id: "7", title: "Back", posts: posts(2, 5) } }],
      channels: { "thread:7": { token: "u", position: "9" } },
    });
  await tab.evaluate(() => {
    const [own] = globalThis.surface.listeners;
    own?.on.gap();
    own?.on.gap();
  });
  await tab.waitForSelector("#p5");
  expect(asked.filter((line) => line.includes("/-/data"))).toEqual(["GET /-/data/t/7  (client)"]);
  expect(await tab.evaluate(() => globalThis.surface.listeners.map((each) => each.from.position))).toEqual(["9"]);
});

test("an upgrade loads the module and shows roots again: known props at once, others by fetching the data", async () => {
  const upgraded = (await scriptOf("test/lib/template/fixtures/parts.ts")).replace(
    " likes</button>",
    " hearts</button>",
  );
  answers["GET /parts-2.js"] = (_, response) => {
    response.setHeader("content-type", "text/javascript");
    response.end(upgraded);
  };
  answers["GET /-/data/t/7"] = (_, response) =>
    json(response, { frames: [{ s: "test/thread:7", p: { id: "7", title: "T", posts: posts(1, 2) } }] });
  const before = await tab.evaluateHandle(() => document.querySelector("#p1"));
  await tab.evaluate((p) => globalThis.surface.now([{ s: "test/likes:1", p }]), { id: "1", n: 4 });
  await tab.evaluate(() => globalThis.surface.now([{ u: { "test/likes": "/parts-2.js", site: "/new.css" } }]));
  await tab.waitForFunction(() => document.querySelector("#p2 button")?.textContent === "2 hearts");
  expect(await tab.locator("#p1 button").innerText()).toMatch(/ hearts$/);
  expect(await before.evaluate((element) => element === document.querySelector("#p1"))).toBe(true);
  await tab.waitForFunction(() => getComputedStyle(document.querySelector("h1") as Element).color === "rgb(1, 2, 3)");
  await tab.waitForFunction(() => document.querySelectorAll("link").length === 1);
  expect(Likes.id).toBe("test/likes");
});

test("none of this violated the strict policy", () => {
  expect(violations).toEqual([]);
});
