import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { component, each, type Html, html, jsonScript, on, raw, render, type Value } from "#lib/template/html.ts";

const shown = (made: Html) => String(made);
const as = (value: unknown) => value as Value;

describe("text", () => {
  test("is escaped, and empty values show nothing", () => {
    expect(shown(html`<p>${"<i>&\"'"}</p>`)).toBe("<p>&lt;i&gt;&amp;&quot;&#39;</p>");
    expect(
      shown(html`<p>${null}</p><p>${undefined}</p><p>${false}</p><p>${true}</p><p>${""}</p><p>${0}</p><p>${10n}</p>`),
    ).toBe("<p></p><p></p><p></p><p></p><p></p><p>0</p><p>10</p>");
  });

  test("stands between marks only where it has neighbours", () => {
    expect(shown(html`<p>${1}</p><p>a ${1}</p>${1}`)).toBe("<p>1</p><p>a <!>1<!/></p><!>1<!/>");
  });

  test("loses the indentation of the source and keeps the spaces between words", () => {
    expect(
      shown(html`
        <ul>
          <li>one
            two</li>
          <!-- told to nobody -->
          <li>a <b>b</b>
            c</li>
        </ul>
      `),
    ).toBe("<ul><li>one two</li><li>a <b>b</b> c</li></ul>");
    expect(
      shown(html`<pre>
 a
  ${"\nb"}</pre>`),
    ).toBe("<pre>\n\n a\n  <!>\nb<!/></pre>");
  });

  test("nested html is not escaped again; raw() is the way around", () => {
    expect(shown(html`<p>${html`<b>${"<"}</b>`}${raw("<hr>")}</p>`)).toBe("<p><!><b>&lt;</b><!/><!><hr><!/></p>");
  });

  test("refuses what is no text, naming the remedy", () => {
    expect(() => html`<p>${as([1])}</p>`).toThrow("use each(list, key, view)");
    expect(() => html`<p>${as({})}</p>`).toThrow("a hole holds text, a number or html, and got object");
    expect(() => html`<p>${as(Promise.resolve())}</p>`).toThrow("[object Promise]");
  });

  test("whatever it is cannot leave its place", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const inText = shown(html`<p>${text}</p>`).slice(3, -4);
        const inAttribute = shown(html`<p title=${text}></p>`).slice(10, -6);
        const inMixed = shown(html`<p title='a ${text}'></p>`).slice(12, -6);
        for (const part of [inText, inAttribute, inMixed])
          expect(part).not.toMatch(/[<>"']|&(?!amp;|lt;|gt;|quot;|#39;|#13;)/);
      }),
    );
  });
});

describe("attributes", () => {
  test("are left out for null, undefined and false; true and the empty text stay", () => {
    expect(shown(html`<img alt=${""} title=${null} id=${undefined} class=${false} lang=${true}>`)).toBe(
      '<img alt="" lang="">',
    );
  });

  test("take several holes, flags and acts; properties are the browser's", () => {
    expect(
      shown(
        html`<a class="x ${1}-${null} y" ?hidden=${1} ?inert=${0} .value=${"v"} ${on("click", "go")} ${null}>a</a>`,
      ),
    ).toBe('<a class="x 1- y" hidden="" s-click="go">a</a>');
  });

  test("that are addresses are let through by their scheme", () => {
    const href = (url: string) => /href="(.*)"/.exec(shown(html`<a href=${url}>x</a>`))?.[1];
    for (const fine of [
      "/t/1",
      "t/1",
      "?a=b:c",
      "#x",
      "https://a.b/c",
      "HTTP://A",
      "mailto:a@b",
      "tel:1",
      "",
      "//a.b",
      "/a:b",
    ])
      expect(href(fine)).toBe(fine);
    for (const evil of [
      "javascript:alert(1)",
      " JavaScript:x",
      "java\nscript:x",
      "\u0001javascript:x",
      "data:text/html,x",
      "vbscript:x",
      "\u00a0javascript:x",
    ]) {
      expect(href(evil)).toBe("about:blank#blocked");
    }
    expect(shown(html`<a href="/t/${"javascript:"}">x</a>`)).toBe('<a href="/t/javascript:">x</a>');
  });
});

describe("a hole that no escaping makes safe is refused at the first render", () => {
  const refused: [string, () => Html, string][] = [
    ["tag name", () => html`<${"b"}>x</b>`, "cannot be a tag name"],
    ["attribute name", () => html`<b x${"y"}="1"></b>`, "attribute name"],
    ["closing tag", () => html`<b></b ${"x"}>`, "closing tag"],
    ["comment", () => html`<!-- ${1} -->`, "comment"],
    ["script", () => html`<script>${1}</script>`, "<script>"],
    ["style", () => html`<style>${1}</style>`, "<style>"],
    ["style attribute", () => html`<b style="color: ${1}"></b>`, "choose a class"],
    ["handler", () => html`<b onclick=${1}></b>`, 'on("click", "act")'],
    ["srcdoc", () => html`<iframe srcdoc=${1}></iframe>`, "holds markup"],
    ["innerHTML", () => html`<b .innerHTML=${1}></b>`, "holds markup"],
    ["base", () => html`<base href=${1}>`, "base of a page"],
    ["refresh", () => html`<meta http-equiv="refresh" content=${1}>`, "refreshes"],
    ["unquoted parts", () => html`<b title=a${1}></b>`, "stands in quotes"],
    ["unquoted parts, hole first", () => html`<b title=${1}a></b>`, "whole value"],
    ["half of a scheme", () => html`<a href="java${"script"}:x">x</a>`, "begins with a fixed one"],
    ["reserved mark", () => html`<b s=${1}></b>`, "written by the template itself"],
    ["flag with more", () => html`<b ?hidden="a${1}"></b>`, "one hole"],
  ];
  for (const [name, make, why] of refused) test(name, () => expect(make).toThrow(why));
});

describe("markup that a parser would change is refused", () => {
  const refused: [string, () => Html, string][] = [
    ["unclosed", () => html`<b>`, "<b> is not closed"],
    ["crossed", () => html`<b><i></b></i>`, "</b> closes <i>"],
    ["block in paragraph", () => html`<p><div></div></p>`, "end the paragraph"],
    ["row in table", () => html`<table><tr></tr></table>`, "<tbody>"],
    ["form in form", () => html`<form><form></form></form>`, "cannot stand in <form>"],
    ["self-closed div", () => html`<div/>`, "does not close"],
    ["lonely <", () => html`<b>1 < 2</b>`, "&lt;"],
    ["open tag", () => html`<b`, "ends inside"],
  ];
  for (const [name, make, why] of refused) test(name, () => expect(make).toThrow(why));
});

describe("lists and components", () => {
  test("items carry their key, roots their name, key and channel", () => {
    const Item = component<{ id: string }>("a/item", {
      key: (p) => p.id,
      channel: (p) => `c:${p.id}`,
      view: () => html`<li class="x"></li>`,
    });
    expect(shown(html`<ul>${each([{ id: '"' }], (p) => p.id, Item)}</ul>`)).toBe(
      '<ul><li s="a/item:&quot;" s-channel="c:&quot;" class="x"></li></ul>',
    );
    expect(shown(html`<ul>${each([{ id: "1" }], () => "other", Item)}</ul>`)).toContain('<li k="other" s="a/item:1"');
    expect(shown(html`<ul>${each([1, 2], null, (n, at) => html`<li>${n}${at}</li>`)}</ul>`)).toBe(
      "<ul><li><!>1<!/><!>0<!/></li><li><!>2<!/><!>1<!/></li></ul>",
    );
  });

  test("an item and a component have one root element of their own", () => {
    expect(() => each([1], null, (n) => html`${n}`)).toThrow("one root element");
    expect(() => each([1], null, (n) => html`<b></b>${n}`)).toThrow("one root element");
    const Two = component<null>("a/two", { key: () => "", view: () => html`<b></b><b></b>` });
    expect(() => Two(null)).toThrow("the view of a/two has one root element");
    const Inner = component<null>("a/inner", { key: () => "", view: () => html`<b></b>` });
    const Outer = component<null>("a/outer", { key: () => "", view: () => Inner(null) });
    expect(() => Outer(null)).toThrow("an element of its own");
    expect(() => component("no name", { key: () => "", view: () => html`<b></b>` })).toThrow("no component name");
  });

  test("views get the context of the render they are in, also after one that failed", () => {
    const Name = component<null, object, { name: string }>("a/name", {
      key: () => "",
      view: (_, cx) => html`<b>${cx.name}</b>`,
    });
    expect(() =>
      render({ name: "x" }, () => {
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(render({ name: "you" }, () => Name(null))).toContain(">you</b>");
  });

  test("data goes into a page as a script that is none", () => {
    const text = shown(jsonScript("d", { a: "</script><!--\u2028&" }));
    expect(text).toBe(
      '<script type="application/json" id="d">{"a":"\\u003c/script\\u003e\\u003c!--\\u2028\\u0026"}</script>',
    );
    expect(JSON.parse(/>(.*)</.exec(text)?.[1] as string)).toEqual({ a: "</script><!--\u2028&" });
  });
});
