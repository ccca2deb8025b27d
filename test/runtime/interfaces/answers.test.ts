import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "../../../lib/schema.ts";
import { CageError } from "../../../runtime/errors.ts";
import { answerWith, checkAnswer, checkFields, type Fields, parseAnswer } from "../../../runtime/interfaces/answers.ts";
import { fn } from "../../../runtime/rpc/api.ts";
import { asRequest } from "../../kit/request.ts";

const given = (...args: unknown[]) => args;
const modules: Record<string, Record<string, unknown>> = {
  greeter: { hello: (who: string) => `hello, ${who}`, given, routes: {} },
  "admin/users": { given },
  orders: { place: fn({ input: z.object({ cents: z.int() }) }, (order) => order.cents * 2) },
};
const seen = { names: Object.keys(modules), module: (name: string) => modules[name] };

const answer = (text: string, message: Fields = {}) =>
  asRequest(async (request) => {
    Object.assign(request.lease, { module: seen.module });
    return await answerWith(parseAnswer(text), message, request);
  });
const failure = (act: () => unknown): string => {
  try {
    act();
    return "no error";
  } catch (error) {
    return (error as Error).message;
  }
};

describe("an answer as it is written", () => {
  it("names a function, and the fields and literals that it gets", () => {
    expect(parseAnswer("greeter.hello")).toMatchObject({ module: "greeter", function: "hello", arguments: undefined });
    expect(parseAnswer(' admin/users.list ( after? , 20 , "a,(b" , {"x":[1,2]} ) ')).toMatchObject({
      module: "admin/users",
      function: "list",
      arguments: [{ field: "after", optional: true }, { json: "20" }, { json: '"a,(b"' }, { json: '{"x":[1,2]}' }],
    });
    expect(parseAnswer("a.b()").arguments).toEqual([]);
    expect(parseAnswer("a.b(true)").arguments).toEqual([{ json: "true" }]);
  });

  it.each([
    ["", "no module.function in"],
    ["hello", "no module.function in"],
    ["greeter.hello(who", 'unexpected "(who" in'],
    ["greeter.hello who", 'unexpected "who" in'],
    ["greeter.hello(who,)", "an argument is missing in"],
    ["greeter.hello('who')", "\"'who'\" is neither a field's name nor JSON in"],
    ["greeter.hello(1 2)", '"1 2" is neither a field\'s name nor JSON in'],
  ])("%j is refused, saying what is wrong and how it is written", (text, what) => {
    const message = failure(() => parseAnswer(text));
    expect(message).toContain(what);
    expect(message).toContain('write "module.function"');
  });

  it("brings any JSON literal to the function as it is", async () => {
    const json = fc.json();
    await fc.assert(
      fc.asyncProperty(fc.array(json, { maxLength: 4 }), async (texts) => {
        const got = await answer(`greeter.given(${texts.join(" , ")})`);
        expect(got).toEqual(texts.map((text) => JSON.parse(text) as unknown));
      }),
    );
  });

  it("is parsed or refused with CONFIG, whatever the text", () => {
    const parts = fc.array(fc.constantFrom("a", ".", "(", ")", ",", '"', "\\", "{", "]", "1", "?", " ", "/"));
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      parts.map((list) => list.join("")),
      parts.map((list) => `a.b(${list.join("")})`),
    );
    fc.assert(
      fc.property(text, (any) => {
        try {
          expect(parseAnswer(any).text).toBe(any);
        } catch (error) {
          expect(error).toBeInstanceOf(CageError);
          expect(error).toMatchObject({ code: "CONFIG" });
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("an answer before it serves", () => {
  const check = (text: string) => failure(() => checkAnswer(parseAnswer(text), seen));

  it("has to name a function that a module exports itself, and is told the nearest", () => {
    expect(check("greeter.hello(who)")).toBe("no error");
    expect(check("greter.hello")).toBe("there is no module 'greter'; did you mean 'greeter'?");
    expect(check("greeter.helo")).toBe("there is no function 'greeter.helo'; did you mean 'hello'?");
    expect(check("greeter.routes")).toBe("there is no function 'greeter.routes'; there are hello, given");
    expect(check("greeter.constructor")).toContain("there is no function 'greeter.constructor'");
  });

  it("has to name fields that the protocol knows, where it knows them", () => {
    const fields = (text: string) => failure(() => checkFields(parseAnswer(text), ["session", "who"]));
    expect(fields('greeter.hello(who, "x")')).toBe("no error");
    expect(fields("greeter.hello(sesion)")).toContain("there is no field 'sesion'; did you mean 'session'?");
  });
});

describe("an answer that serves", () => {
  it("gives the fields by name, and the message whole without parentheses", async () => {
    expect(await answer("greeter.hello(who)", { who: "you" })).toBe("hello, you");
    expect(await answer("greeter.given", { who: "you", n: 1 })).toEqual([{ who: "you", n: 1 }]);
    expect(await answer("greeter.given()", { who: "you" })).toEqual([]);
    expect(await answer('admin/users.given(b, 7, a, "x")', { a: 1, b: 2 })).toEqual([2, 7, 1, "x"]);
  });

  it("gives what came by position as it came, or by its number", async () => {
    expect(await answer("greeter.given", [1, "b"])).toEqual([1, "b"]);
    expect(await answer("greeter.given($2, $3?)", [1, "b"])).toEqual(["b", undefined]);
  });

  it("refuses a message that lacks a field, unless it may be absent", async () => {
    await expect(answer("greeter.hello(who)", { woh: "you" })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: "the message has no 'who', which its answer needs",
    });
    await expect(answer("greeter.hello(toString)", {})).rejects.toMatchObject({ code: "BAD_INPUT" });
    expect(await answer("greeter.given(after?)", {})).toEqual([undefined]);
  });

  it("validates by the function's schema, as a call is", async () => {
    expect(await answer("orders.place", { cents: 4 })).toBe(8);
    await expect(answer("orders.place", { cents: "4" })).rejects.toMatchObject({
      code: "BAD_INPUT",
      details: { cents: expect.any(String) },
    });
  });

  it("gives each call a literal of its own", async () => {
    modules["greeter"]!["push"] = (list: number[]) => list.push(1);
    expect(await answer("greeter.push([])")).toBe(1);
    expect(await answer("greeter.push([])")).toBe(1);
  });
});
