import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import { parse } from "#lib/i18n/message.ts";
import { type Message, messages, negotiate } from "#lib/i18n/messages.ts";
import { html } from "#lib/template/html.ts";

const t = messages({
  en: {
    plain: "It's fine",
    hello: "Hello {name}!",
    likes: "{n, plural, =0 {No likes yet} one {# like} other {# likes}}",
    others: "{n, plural, offset:1 =0 {nobody} =1 {{who}} one {{who} and # other} other {{who} and # others}}",
    place: "{n, selectordinal, one {#st} two {#nd} few {#rd} other {#th}}",
    by: "{who, select, me {you} other {{name}}}",
    share: "{n, number, percent} of {all, number}",
    when: "{at, date, long} {at, time, short}",
    rich: "Read <link>the <b>rules</b></link>, {name}",
    quoted: "'{'literal'}' it''s '#'",
    only: "only in English",
  },
  sv: { hello: "Hej {name}!", likes: "{n, plural, =0 {Inga gillar} other {# gillar}}", plain: "Det är bra" },
  "sv-FI": { plain: "Bra i Finland" },
});
const en = t({ locale: "en" });

test("messages are formatted", () => {
  expect(en.plain()).toBe("It's fine");
  expect(en.hello({ name: "Bo" })).toBe("Hello Bo!");
  expect([0, 1, 2, 12345].map((n) => en.likes({ n }))).toEqual(["No likes yet", "1 like", "2 likes", "12,345 likes"]);
  expect([0, 1, 2, 3].map((n) => en.others({ n, who: "Bo" }))).toEqual([
    "nobody",
    "Bo",
    "Bo and 1 other",
    "Bo and 2 others",
  ]);
  expect([1, 2, 3, 4, 11, 21].map((n) => en.place({ n }))).toEqual(["1st", "2nd", "3rd", "4th", "11th", "21st"]);
  expect(en.by({ who: "me", name: "x" }) + en.by({ who: "you", name: "Bo" })).toBe("youBo");
  expect(en.share({ n: 0.25, all: 1e6 })).toBe("25% of 1,000,000");
  expect(en.when({ at: Date.UTC(2026, 10, 21, 9, 5) })).toMatch(/^November 21, 2026 9:05\sAM$/u);
  expect(t({ locale: "en", timeZone: "Europe/Stockholm" }).when({ at: 0 })).toMatch(/^January 1, 1970 1:00\sAM$/u);
  expect(en.quoted()).toBe("{literal} it's #");
});

test("named tags become markup that the caller makes, and vanish from plain text", () => {
  const made = en.rich.rich(html, { name: "<Bo>", link: (text) => html`<a href="/rules">${text}</a>` });
  expect(String(made).replaceAll(/<!\/?>/g, "")).toBe('Read <a href="/rules">the rules</a>, &lt;Bo&gt;');
  expect(en.rich({ name: "Bo" })).toBe("Read the rules, Bo");
});

test("a locale falls back to its parent and then to the first", () => {
  const fi = t({ locale: "sv-FI" });
  expect([fi.plain(), fi.hello({ name: "Bo" }), fi.only()]).toEqual(["Bra i Finland", "Hej Bo!", "only in English"]);
  expect(t({ locale: "sv-SE" }).plain()).toBe("Det är bra");
  expect(t({ locale: "xx" }).plain()).toBe("It's fine");
  expect(t({ locale: "sv" }).likes({ n: 12345 }).replace(/\s/u, " ")).toBe("12 345 gillar");
});

test("an unknown key is a type error", () => {
  expectTypeOf(en.hello).toEqualTypeOf<Message>();
  expectTypeOf(en).not.toHaveProperty("helo");
});

test("a missing argument shows its name, and nothing throws", () => {
  expect(en.hello()).toBe("Hello {name}!");
  expect(en.when()).toBe("{at} {at}");
});

describe("a message that cannot be read fails when loaded, showing where", () => {
  const broken: [string, string][] = [
    ["{n", 'expected ","'],
    ["{n, plural, one {x}}", 'no case "other"'],
    ["{n, plural, many {x} wrong {y} other {z}}", 'no plural case "wrong"'],
    ["{n, frob}", 'no type "frob"'],
    ["{n, number, money}", 'no style "money"'],
    ["a } b", "a } without its {"],
    ["<b>x", "<b> is not closed"],
    ["x</b>", "closed that is not open"],
    ["'{x", "quotation"],
    ["{n, plural, other {", "a { without its }"],
    ["{a,select,other {".repeat(12), "ten deep"],
  ];
  for (const [text, why] of broken) {
    test(text.slice(0, 50), () => expect(() => messages({ en: { key: text } })).toThrow(why));
  }

  test("a translation cannot take what the source does not give", () => {
    expect(() => messages({ en: { a: "{x}" }, sv: { a: "{y}" } })).toThrow('sv: "a" takes y, which en does not have');
  });
});

test("any text quoted is itself, and any text at all parses or says why", () => {
  const some = fc.constantFrom("a", " ", "'", "{", "}", "<", ">", "#", "/b", "n,plural,", "other");
  fc.assert(
    fc.property(fc.array(some), (all) => {
      const text = all.join("");
      const quoted = text.replaceAll("'", "''").replaceAll(/[{}<>#]+/g, "'$&'");
      // A quotation beside an apostrophe would read as another doubled one.
      if (!/'{3}/.test(quoted)) expect(parse(quoted).join("")).toBe(text);
      try {
        parse(text);
      } catch (error) {
        expect(error).toMatchObject({ code: "MESSAGE" });
      }
    }),
    { numRuns: 1000 },
  );
});

test("the best offered locale is found", () => {
  const best = (wanted: string | undefined) => negotiate(wanted, ["en", "sv", "pt-BR"]);
  expect(
    ["sv-FI,en;q=0.5", "de, sv;q=0.8, en;q=0.9", "pt-br", "pt", "*", "", undefined, "en;q=0,xx;q=y"].map(best),
  ).toEqual(["sv", "en", "pt-BR", "en", "en", "en", "en", "en"]);
});
