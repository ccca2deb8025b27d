/** Orbit's client in a real browser, on a page of another origin, over a link that is cut and mended. */
import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:http";
import { brotliCompressSync } from "node:zlib";
import { build } from "esbuild";
import { afterAll, beforeAll, expect } from "vitest";
import { positionOf } from "../../lib/revolved/channels.ts";
import { createHub, enter, leave, publishAll, receive } from "../../lib/revolved/hub.ts";
import { sign } from "../../lib/revolved/tokens.ts";
import { type Browser, launchBrowser, openPage, type Page } from "../kit/browser.ts";
import { type Running, startComet } from "../kit/comet.ts";
import { type Link, linkTo } from "../kit/link.ts";
import { needing } from "../kit/needs.ts";
import { eventually, home } from "../kit/project.ts";

const { describe, it } = needing("chromium");

const secret = randomBytes(32).toString("hex");
const hub = createHub("e");
const faults: string[] = [];
let comet: Running;
let link: Link;
let site: Server;
let siteUrl: string;
let browser: Browser;
let script: string;

/** What the page holds for the test. */
interface Held {
  heard: unknown[];
  states: string[];
}

const token = (channel: string) => sign(secret, { channels: [channel], user: "ann", expiresAtMs: Date.now() + 60_000 });
const publish = (channel: string, data: unknown) => publishAll(hub, [{ channel, type: "t", data }], Date.now());

beforeAll(async () => {
  const built = await build({
    entryPoints: [`${home}/lib/orbit.ts`],
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    globalName: "orbit",
    target: "es2022",
  });
  script = built.outputFiles[0]!.text;
  site = createServer((request, response) => {
    const isScript = request.url === "/orbit.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : '<!doctype html><link rel="icon" href="data:,"><script src="/orbit.js"></script>');
  });
  await new Promise<void>((listening) => site.listen(0, "127.0.0.1", listening));
  siteUrl = `http://127.0.0.1:${(site.address() as { port: number }).port}`;
  comet = await startComet(
    {
      connect: (session) => enter(hub, session),
      message: (session, text) => receive(hub, session, text, { secret, nowMs: Date.now() }),
      disconnect: (session) => leave(hub, session),
    },
    { origins: [siteUrl] },
  );
  link = await linkTo(Number(new URL(comet.url).port));
  browser = await launchBrowser();
});

afterAll(async () => {
  await browser?.close();
  await link?.close();
  await comet?.stop();
  site?.closeAllConnections();
  site?.close();
});

async function visit(): Promise<Page> {
  const page = await openPage(await browser.newContext(), faults);
  await page.goto(siteUrl);
  return page;
}

const follow = (page: Page, channel: string, transport?: "sse" | "longpoll") =>
  page.evaluate(
    ({ url, channel, token, position, transport }) => {
      const held = ((window as unknown as { held: Held }).held = { heard: [], states: [] } as Held);
      const { connect } = (window as unknown as { orbit: typeof import("../../lib/orbit.ts") }).orbit;
      const client = connect({ url, ...(transport ? { transport } : {}) });
      client.onState((state) => held.states.push(state));
      client.subscribe(
        channel,
        { token, position },
        {
          event: ({ data }) => void held.heard.push(data),
          gap: () => void held.heard.push("gap"),
        },
      );
    },
    {
      url: `http://127.0.0.1:${link.port}/csp`,
      channel,
      token: token(channel),
      position: positionOf(hub.store),
      transport,
    },
  );

const heard = async (page: Page, count: number): Promise<unknown[]> => {
  await page.waitForFunction((count) => (window as unknown as { held: Held }).held.heard.length >= count, count);
  return await page.evaluate(() => (window as unknown as { held: Held }).held.heard);
};
const state = (page: Page, wanted: string) =>
  page.waitForFunction((wanted) => (window as unknown as { held: Held }).held.states.at(-1) === wanted, wanted);

describe("the client in a browser", () => {
  for (const transport of ["sse", "longpoll"] as const)
    it(`hears everything once over ${transport}, what happened while its link was cut too`, async () => {
      const page = await visit();
      const channel = `thread.${transport}`;
      await follow(page, channel, transport);
      publish(channel, 1);
      publish(channel, "två 🎈");
      expect(await heard(page, 2)).toEqual([1, "två 🎈"]);
      link.cut();
      publish(channel, 3);
      await state(page, "late");
      publish(channel, 4);
      link.mend();
      await state(page, "on");
      expect(await heard(page, 4)).toEqual([1, "två 🎈", 3, 4]);
      // Again, with packets under way in the moment of the cut.
      for (let n = 5; n < 25; n++) publish(channel, n);
      link.cut();
      link.mend();
      for (let n = 25; n < 45; n++) publish(channel, n);
      expect((await heard(page, 44)).slice(4)).toEqual(Array.from({ length: 40 }, (_, n) => n + 5));
      await page.context().close();
    });

  it("makes a new session when the server has forgotten it, and goes on from its position", async () => {
    const page = await visit();
    await follow(page, "thread.lost");
    publish("thread.lost", 1);
    await heard(page, 1);
    for (const set of hub.subscribers.values()) for (const subscriber of set) subscriber.close();
    publish("thread.lost", 2);
    expect(await heard(page, 2)).toEqual([1, 2]);
    await page.context().close();
  });

  it("tells the server when its page is left without waiting for a time-out", async () => {
    const page = await visit();
    await follow(page, "thread.left");
    publish("thread.left", 1);
    await heard(page, 1);
    await page.goto("about:blank");
    await eventually("the server knows", () => !hub.subscribers.has("thread.left"), 3000);
    await page.context().close();
  });

  it("is not needed for server-sent events: a bare EventSource gets the batches and their ids", async () => {
    const page = await visit();
    const events = await page.evaluate(async (url) => {
      const variables = "is=1&se=1&bp=data:%20&bs=%0D%0A&ct=text/event-stream";
      const shaken = await fetch(`${url}/handshake?d={}`);
      const key = (JSON.parse((await shaken.text()).slice(1, -1)) as { session: string }).session;
      return await new Promise<string[]>((resolve) => {
        const source = new EventSource(`${url}/comet?s=${key}&a=0&${variables}`);
        const got: string[] = [];
        source.onmessage = (event) => {
          got.push(`${event.lastEventId} ${String(event.data)}`);
          if (got.length === 1) void fetch(`${url}/send?s=${key}`, { method: "POST", body: '[[1,0,"{"]]' });
          if (got.length === 2) {
            source.close();
            resolve(got);
          }
        };
      });
    }, `http://127.0.0.1:${link.port}/csp`);
    expect(events).toEqual([" ([])", '1 ([[1,0,"[\\"ERR\\",[0,\\"invalid json\\",\\"BAD_INPUT\\"]]"]])']);
    await page.context().close();
  });

  it("weighs less than 6 KB", () => expect(brotliCompressSync(script).length).toBeLessThan(6 * 1024));

  it("raises no error in the page but for connections that were cut", () =>
    expect(faults.filter((fault) => !/ERR_|net::/.test(fault))).toEqual([]));
});
