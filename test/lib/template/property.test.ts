/** For random trees and sequences of them: what frames make of a page is what a server would have rendered. */
import fc from "fast-check";
import type { Browser, Page as Tab } from "playwright-core";
import { afterAll, beforeAll, expect } from "vitest";
import { render } from "#lib/template/html.ts";
import { needing } from "../../kit/needs.ts";
import { load, openBrowser, scriptOf } from "./chromium.ts";
import { Page, type Tree } from "./fixtures/parts.ts";

const { test } = needing("chromium");

let browser: Browser;
let tab: Tab;
beforeAll(async () => {
  browser = await openBrowser();
  tab = await browser.newPage();
  await load(tab, "", await scriptOf("test/lib/template/fixtures/client.ts"));
});
afterAll(() => browser?.close());

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 6 }),
  fc.constantFrom("", " ", "<b>", "&amp;", '"', "<!--", "-->", "</section>", "\n", "\r\n", "\0", "/", "<!/>"),
);
const key = fc.constantFrom("a", "b", "c", "d", "__proto__", "1", "constructor", '"');
const unique = <T>(item: fc.Arbitrary<T>, keyOf: (item: T) => string, maxLength = 5) =>
  fc.uniqueArray(item, { selector: keyOf, maxLength });

const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.record({ kind: fc.constant("text" as const), text }),
    fc.constant<Tree>({ kind: "nothing" }),
    fc.record({ kind: fc.constant("plain" as const), items: fc.array(text, { maxLength: 3 }) }),
    fc.record({
      kind: fc.constant("table" as const),
      rows: unique(fc.record({ k: key, cells: fc.array(text, { maxLength: 2 }) }), (row) => row.k),
    }),
    fc.record({ kind: fc.constant("select" as const), options: fc.array(text, { maxLength: 3 }), chosen: fc.nat(3) }),
    fc.record({
      kind: fc.constant("svg" as const),
      dots: unique(fc.record({ k: key, r: fc.nat(9) }), (dot) => dot.k),
      label: text,
    }),
    fc.record({ kind: fc.constant("area" as const), text, value: text }),
    fc.record({ kind: fc.constant("raw" as const), at: fc.nat(9) }),
    fc.record({ kind: fc.constant("likes" as const), id: key, n: fc.integer({ min: -1, max: 20 }) }),
    fc.record({
      kind: fc.constant("box" as const),
      title: fc.option(text),
      open: fc.boolean(),
      child: tie("tree"),
      other: tie("tree"),
    }),
    fc.record({ kind: fc.constant("loose" as const), a: tie("tree"), b: tie("tree") }),
    fc.record({
      kind: fc.constant("list" as const),
      items: unique(fc.record({ k: key, v: tie("tree") }), (item) => item.k),
    }),
  ),
}));

test("the page after any frames equals a fresh render", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(tree, { minLength: 2, maxLength: 5 }), async (trees) => {
      const rendered = trees.map((one) => render({}, () => Page({ tree: one })));
      const outcome = await tab.evaluate(
        ([all, expected]) => {
          const canonical = (element: Element): string => {
            const copy = element.cloneNode(true) as Element;
            for (const each of [copy, ...copy.querySelectorAll("*")]) {
              const attributes = [...each.attributes].map(({ name, value }) => [name, value] as const).sort();
              for (const [name] of attributes) each.removeAttribute(name);
              for (const [name, value] of attributes) each.setAttribute(name, value);
            }
            return copy.outerHTML;
          };
          const parsed = (markup: string): string => {
            const template = document.createElement("template");
            template.innerHTML = markup;
            return canonical(template.content.firstElementChild as Element);
          };
          document.body.innerHTML = expected[0] as string;
          const before = globalThis.surface.counts.replaced;
          for (const [at, tree] of all.entries()) {
            globalThis.surface.now([{ s: "test/page:1", p: { tree } }]);
            const [shown, wanted] = [
              canonical(document.body.firstElementChild as Element),
              parsed(expected[at] as string),
            ];
            if (shown !== wanted) return { at, shown, wanted };
            // The first is what the server had rendered: it must be adopted.
            if (at === 0 && globalThis.surface.counts.replaced > before)
              return { at, shown: "replaced", wanted: "adopted" };
          }
          return { failures: globalThis.surface.failures.splice(0) };
        },
        [trees, rendered] as const,
      );
      expect(outcome).toEqual({ failures: [] });
    }),
    { numRuns: 300 },
  );
}, 120_000);
