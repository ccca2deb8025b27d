import { describe, expect, it } from "vitest";
import { z } from "../../../lib/schema.ts";
import {
  CageError,
  Cancelled,
  Expired,
  Overloaded,
  Terminal,
  told,
  Unavailable,
  UnknownOutcome,
} from "../../../runtime/errors.ts";
import { paths } from "../../../runtime/rpc/api.ts";
import { flat, revived } from "../../../runtime/rpc/error.ts";
import { failure, isFailure } from "../../../runtime/rpc/failure.ts";
import { limits } from "../../../runtime/rpc/limits.ts";

const crossed = (thrown: unknown): CageError => revived(flat(thrown), "shop");

describe("an error that crossed", () => {
  it("is of the class of its code", () => {
    const classes = { Terminal, Expired, Cancelled, Overloaded, Unavailable, UnknownOutcome };
    for (const [name, Class] of Object.entries(classes)) {
      const error = crossed(new Class("so it is"));
      expect(error).toBeInstanceOf(Class);
      expect(error).toBeInstanceOf(CageError);
      expect(error.name).toBe(name);
      for (const Other of Object.values(classes)) if (Other !== Class) expect(error).not.toBeInstanceOf(Other);
    }
    expect(crossed(new CageError("SOLD_OUT", "none left"))).not.toBeInstanceOf(Terminal);
  });

  it("is known to another copy of the runtime", async () => {
    const copy = "../../../runtime/errors.ts?copy";
    const again = (await import(/* @vite-ignore */ copy)) as typeof import("../../../runtime/errors.ts");
    expect(again.Terminal).not.toBe(Terminal);
    expect(new again.Terminal("no")).toBeInstanceOf(Terminal);
    expect(new Terminal("no")).toBeInstanceOf(again.CageError);
    expect(new Error("no")).not.toBeInstanceOf(CageError);
    expect({ code: "TERMINAL" }).not.toBeInstanceOf(Terminal);
  });

  it("keeps the ordinary meaning of an author's own subclass", () => {
    class Own extends CageError {}
    expect(new Own("OWN", "mine")).toBeInstanceOf(Own);
    expect(new CageError("OWN", "not mine")).not.toBeInstanceOf(Own);
  });

  it("keeps status, retryable, details and its causes, so many of them", () => {
    let cause: unknown = Object.assign(new Error("disk"), { code: "ENOSPC" });
    for (let n = 0; n < 10; n++) cause = new CageError("UNAVAILABLE", `level ${n}`, { cause });
    const error = crossed(new CageError("OWN", "mine", { status: 418, retryable: true, details: { a: 1 }, cause }));
    expect(error).toMatchObject({ code: "OWN", status: 418, retryable: true, details: { a: 1 } });
    const chain: string[] = [];
    for (let at: unknown = error; at instanceof CageError; at = at.cause) chain.push(at.message);
    expect(chain).toEqual(["mine", "level 9", "level 8", "level 7", "level 6"]);
    expect(chain.length).toBe(limits.causes);
  });

  it("tells the operator what it really was, and where, and outsiders neither", () => {
    const error = crossed(Object.assign(new TypeError("x is not a function"), { code: "ODD" }));
    expect(error).toMatchObject({ code: "INTERNAL", cause: { code: "ODD" } });
    expect(error.stack).toContain("--- in shop ---");
    expect((error.cause as Error).stack).toContain("error.test.ts");
    expect(JSON.stringify(told(error))).not.toMatch(/error\.test|not a function/);
  });

  it("survives what a peer of another mind sends", () => {
    expect(revived({ code: 5, details: null, cause: "x" } as never, "shop")).toBeInstanceOf(CageError);
  });
});

describe("a declared failure", () => {
  const SoldOut = failure("SOLD_OUT", z.object({ sku: z.string() }), {
    message: ({ sku }) => `no ${sku} left`,
    status: 409,
  });

  it("is thrown with its details and known by its code, also after it crossed", () => {
    const error: unknown = crossed(SoldOut({ sku: "tea" }));
    expect(error).toMatchObject({ code: "SOLD_OUT", message: "no tea left", status: 409, retryable: false });
    expect(isFailure<typeof SoldOut>(error, "SOLD_OUT") && error.details.sku).toBe("tea");
    expect(isFailure<typeof SoldOut>(new CageError("OTHER", "no"), "SOLD_OUT")).toBe(false);
    expect(isFailure<typeof SoldOut>(undefined, "SOLD_OUT")).toBe(false);
    expect(told(error)).toEqual({ code: "SOLD_OUT", message: "no tea left", status: 409 });
  });

  it("has details as declared", () => {
    expect(() => SoldOut({ sku: 1 } as never)).toThrow("SOLD_OUT: sku: ");
  });

  it("has a code of its own", () => {
    expect(() => failure("EXPIRED", z.object({}))).toThrow(/a meaning of its own/);
    expect(() => failure("sold out", z.object({}))).toThrow(/capitals/);
  });

  it("is not a function of the api", () => {
    expect(paths({ orders: { place() {}, SoldOut }, SoldOut }).map((row) => row.path)).toEqual(["orders.place"]);
  });
});
