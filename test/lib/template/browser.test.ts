import type { Browser, Page as Tab } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import { type Frame, render } from "#lib/template/html.ts";
import { needing } from "../../kit/needs.ts";
import { load, openBrowser, scriptOf } from "./chromium.ts";
import { Page, Thread, type Tree } from "./fixtures/parts.ts";

const { describe, test } = needing("chromium");

let browser: Browser;
let tab: Tab;
let script: string;
beforeAll(async () => {
  [browser, script] = await Promise.all([openBrowser(), scriptOf("test/lib/template/fixtures/client.ts")]);
  tab = await browser.newPage();
});
afterAll(() => browser?.close());

const posts = (...ids: number[]) => ids.map((id) => ({ id: String(id), body: `post <${id}>`, n: id }));
const thread = (...ids: number[]) =>
  render({}, () => Thread({ id: "7", title: "Hello & welcome", posts: posts(...ids) }));
const pageOf = (tree: Tree) => render({}, () => Page({ tree }));
const now = (...frames: Frame[]) => tab.evaluate((all) => globalThis.surface.now(all), frames);
const counts = () => tab.evaluate(() => ({ ...globalThis.surface.counts }));
const failures = () => tab.evaluate(() => globalThis.surface.failures);
/** Markup of what is shown, or of `text` after a parser has read it; attributes sorted, as their order means nothing. */
const markup = (selector = "body > :first-child", text?: string) =>
  tab.evaluate(
    ([where, own]) => {
      const template = document.createElement("template");
      if (own !== undefined) template.innerHTML = own;
      const element = own === undefined ? document.querySelector(where) : template.content.querySelector(where);
      const copy = element?.cloneNode(true) as Element;
      for (const each of [copy, ...copy.querySelectorAll("*")]) {
        const all = [...each.attributes].map(({ name, value }) => [name, value] as const).sort();
        for (const [name] of all) each.removeAttribute(name);
        for (const [name, value] of all) each.setAttribute(name, value);
      }
      return copy.outerHTML;
    },
    [selector, text] as const,
  );
const parsed = (text: string, selector = "*") => markup(selector, text);

describe("a page that a server rendered", () => {
  beforeEach(() => load(tab, thread(1, 2, 3), script));

  test("is not touched until a frame comes", async () => {
    expect(await counts()).toEqual({ adopted: 0, replaced: 0, made: 0 });
    expect(await markup("main")).toBe(await parsed(thread(1, 2, 3)));
  });

  test("has one component set in place: same nodes, only the hole changed", async () => {
    await tab.evaluate(() => {
      const changes: string[] = [];
      new MutationObserver((records) => {
        for (const record of records)
          changes.push(`${record.type} ${record.target.nodeName} ${record.attributeName ?? ""}`);
      }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
      Object.assign(globalThis, { changes });
    });
    await now({ s: "test/likes:2", p: { id: "2", n: 12 } });
    expect(await tab.locator("#p2 button").innerText()).toBe("12 likes");
    expect(await tab.locator("#p2 button").getAttribute("class")).toBe("likes many");
    expect(await tab.evaluate(() => (globalThis as unknown as { changes: string[] }).changes)).toEqual([
      "attributes BUTTON class",
      "characterData #text ",
    ]);
    expect(await counts()).toMatchObject({ adopted: 1, replaced: 0, made: 0 });
  });

  test("takes the whole of its props and keeps every node that is still wanted", async () => {
    await tab.evaluate(() => Object.assign(globalThis, { kept: document.querySelector("#p3 button") }));
    await now({ s: "test/thread:7", p: { id: "7", title: "Other", posts: posts(3, 9, 1) } });
    expect(await markup("main")).toBe(
      await parsed(render({}, () => Thread({ id: "7", title: "Other", posts: posts(3, 9, 1) }))),
    );
    expect(
      await tab.evaluate(
        () => (globalThis as unknown as { kept: Element }).kept === document.querySelector("#p3 button"),
      ),
    ).toBe(true);
    expect(await counts()).toMatchObject({ replaced: 0, made: 2 }); // the new post and its likes
  });

  test("has list operations by key, without adopting the list", async () => {
    const list = { s: "test/thread:7", l: "posts" } as const;
    const add = (id: number, b: string | null | 0): Frame => ({
      ...list,
      op: "add",
      k: String(id),
      b,
      c: "test/post",
      p: posts(id)[0],
    });
    await now(
      add(4, null),
      add(5, "2"),
      add(6, 0),
      { ...list, op: "del", k: "3" },
      { ...list, op: "move", k: "1", b: null },
      add(4, "1"),
    );
    expect(await markup("ol")).toBe(
      await parsed(
        render({}, () => Thread({ id: "7", title: "Hello & welcome", posts: posts(6, 5, 2, 4, 1) })),
        "ol",
      ),
    );
    expect((await counts()).replaced).toBe(0);
  });

  test("turns the events of a channel into changes of the roots that listen to it", async () => {
    await tab.setContent("");
    await load(
      tab,
      `${thread(1)}<script type="application/json" id="live">${JSON.stringify({ cx: {}, channels: { "thread:7": { token: "t", position: "a:4" } } })}</script>`,
      script,
    );
    expect(
      await tab.evaluate(() => globalThis.surface.listeners.map(({ channel, from }) => ({ channel, from }))),
    ).toEqual([{ channel: "thread:7", from: { token: "t", position: "a:4" } }]);
    await tab.evaluate((post) => {
      globalThis.surface.listeners[0]?.on.event({ type: "post.added", data: post }, "a:5");
      globalThis.surface.listeners[0]?.on.event({ type: "nobody.knows", data: 1 }, "a:6");
    }, posts(8)[0]);
    await tab.waitForSelector("#p8"); // with the next animation frame
    await now({ e: "post.removed", on: "thread:7", p: { id: "1" } });
    expect(await tab.locator("li").count()).toBe(1);
    expect(await failures()).toEqual([]);
  });

  test("runs an act of the nearest component that has it", async () => {
    await tab.click("#p1 button");
    await tab.waitForFunction(() => document.querySelector("#p1 button")?.textContent === "1000 likes");
  });

  test("recovers from stripped comments: the root is replaced and shows the same", async () => {
    await load(tab, thread(1, 2).replaceAll(/<!\/?>/g, ""), script);
    await now({ s: "test/likes:1", p: { id: "1", n: 5 } });
    expect(await markup("#p1")).toContain("5<!--/--> likes</button>");
    await now({ s: "test/thread:7", p: { id: "7", title: "T", posts: posts(2, 1) } });
    expect(await markup("main")).toBe(
      await parsed(render({}, () => Thread({ id: "7", title: "T", posts: posts(2, 1) }))),
    );
    expect((await counts()).replaced).toBeGreaterThan(0);
    expect(await failures()).toEqual([]);
  });

  test("ignores frames for what it does not show, and names that are no components", async () => {
    await now(
      { s: "test/likes:99", p: {} },
      { s: "__proto__:1", p: {} },
      { s: 'x"]:1', p: {} },
      { e: "constructor", on: "thread:7", p: {} },
    );
    expect(await failures()).toEqual([]);
    expect(await counts()).toEqual({ adopted: 0, replaced: 0, made: 0 });
  });

  test("never takes data for markup", async () => {
    const evil = { "@@note": "html", strings: ["<img src=x>"], values: [] } as unknown as string;
    await now({ s: "test/thread:7", p: { id: "7", title: "<img src=x onerror=alert(1)>", posts: [] } });
    await now({ s: "test/thread:7", p: { id: "7", title: evil, posts: [] } });
    expect(await tab.locator("img").count()).toBe(0);
    expect(await failures()).toHaveLength(1);
  });
});

describe("what is the person's", () => {
  const area = (text: string, value: string): Tree => ({ kind: "area", text, value });

  test("text being typed, and its selection, survive updates; what changed applies when they leave", async () => {
    await load(tab, pageOf(area("a", "one")), script);
    await tab.fill("textarea", "half a thought");
    await tab.locator("textarea").evaluate((element: HTMLTextAreaElement) => element.setSelectionRange(2, 5));
    await now({ s: "test/page:1", p: { tree: area("b", "two") } });
    const state = () =>
      tab
        .locator("textarea")
        .evaluate((e: HTMLTextAreaElement) => [e.value, e.selectionStart, e.selectionEnd, e.defaultValue]);
    expect(await state()).toEqual(["half a thought", 2, 5, "one"]);
    expect(await tab.locator("label").innerText()).toContain("b:");
    expect(await tab.locator("input").inputValue()).toBe("two");
    await tab.focus("input");
    expect(await state()).toMatchObject(["half a thought", 2, 5, "two"]);
  });

  test("the focus stays when a list around it is put in another order", async () => {
    const items = (...keys: string[]): Tree => ({ kind: "list", items: keys.map((k) => ({ k, v: area(k, k) })) });
    await load(tab, pageOf(items("a", "b", "c", "d")), script);
    await tab.locator("li[k=d] textarea").fill("typed");
    await now({ s: "test/page:1", p: { tree: items("d", "c", "b", "a") } });
    expect(await tab.evaluate(() => document.activeElement?.closest("li")?.getAttribute("k"))).toBe("d");
    expect(await tab.locator("li").evaluateAll((all) => all.map((li) => li.getAttribute("k")))).toEqual([
      "d",
      "c",
      "b",
      "a",
    ]);
  });
});

describe("adoption", () => {
  const cases: Record<string, [Tree, Tree]> = {
    table: [
      {
        kind: "table",
        rows: [
          { k: "a", cells: ["1", "2"] },
          { k: "b", cells: ["3"] },
        ],
      },
      {
        kind: "table",
        rows: [
          { k: "b", cells: ["3", "4"] },
          { k: "a", cells: ["1"] },
          { k: "c", cells: [] },
        ],
      },
    ],
    select: [
      { kind: "select", options: ["a", "b"], chosen: 1 },
      { kind: "select", options: ["a", "b", "c"], chosen: 2 },
    ],
    svg: [
      { kind: "svg", label: "x", dots: [{ k: "a", r: 1 }] },
      {
        kind: "svg",
        label: "y",
        dots: [
          { k: "b", r: 2 },
          { k: "a", r: 3 },
        ],
      },
    ],
    attributes: [
      { kind: "box", title: "x", open: false, child: { kind: "nothing" }, other: { kind: "text", text: "t" } },
      { kind: "box", title: null, open: true, child: { kind: "text", text: "c" }, other: { kind: "text", text: "t" } },
    ],
    "unkeyed list": [
      { kind: "plain", items: ["a", "b"] },
      { kind: "plain", items: ["a", "c", "d"] },
    ],
    "templates without a root, nested": [
      {
        kind: "loose",
        a: { kind: "loose", a: { kind: "nothing" }, b: { kind: "text", text: "x" } },
        b: { kind: "text", text: "y" },
      },
      {
        kind: "loose",
        a: { kind: "loose", a: { kind: "text", text: "1" }, b: { kind: "text", text: "x" } },
        b: { kind: "plain", items: [] },
      },
    ],
    textarea: [
      { kind: "area", text: "&lt;", value: "\n\nlines\r" },
      { kind: "area", text: "&", value: "\nother" },
    ],
  };
  for (const [name, [before, after]] of Object.entries(cases)) {
    test(`${name}: server markup is bound without making a node anew, and becomes what a server would render`, async () => {
      await load(tab, pageOf(before), script);
      await now({ s: "test/page:1", p: { tree: before } });
      expect(await counts()).toMatchObject({ replaced: 0, made: 0 });
      expect(await markup("section")).toBe(await parsed(pageOf(before)));
      await now({ s: "test/page:1", p: { tree: after } });
      expect(await markup("section")).toBe(await parsed(pageOf(after)));
      expect(await counts()).toMatchObject({ replaced: 0 });
      expect(await failures()).toEqual([]);
    });
  }
});
