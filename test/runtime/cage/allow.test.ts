import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { permit } from "../../../runtime/cage/allow.ts";
import { keysOf } from "../../../runtime/cage/keys.ts";

const from = (cage: string) => ({ node: "n", cage });

describe("allow", () => {
  const allow = { orders: ["shop"], "*": ["health", "cli"], open: ["*"] };
  const tries = (cage: string, path: string) => () => permit(allow, "billing", from(cage), path);

  it("lets whom it names call what it names", () => {
    for (const [cage, path] of [
      ["shop", "orders.place"],
      ["health", "orders.place"],
      ["cli", "anything.else"],
      ["anybody", "open.door"],
      ["billing", "orders.place"],
    ] as const)
      expect(tries(cage, path)).not.toThrow();
  });

  it("refuses everybody else with what to change", () => {
    expect(tries("mail", "orders.place")).toThrow(
      expect.objectContaining({
        code: "FORBIDDEN",
        message:
          'mail may not call orders.place of billing; to let it, add "mail" to allow.orders in config/billing.ts',
      }),
    );
    const operator = () => permit({ orders: ["shop"] }, "billing", from("cli"), "orders.place");
    expect(operator).toThrow(
      './cage call, whose name is cli, may not call orders.place of billing; to let it, add "cli" to allow.orders in config/billing.ts',
    );
    expect(tries("shop", "accounts.all")).toThrow(/may not call/);
    expect(tries("shop", "constructor.name")).toThrow(/may not call/);
  });

  it("that is absent lets any cage of the node call", () => {
    expect(() => permit(undefined, "billing", from("mail"), "orders.place")).not.toThrow();
  });
});

describe("keys", () => {
  const made: string[] = [];
  afterEach(() => {
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
  const state = (): string => {
    made.push(mkdtempSync(join(tmpdir(), "keys-")));
    return made.at(-1) as string;
  };

  it("are made once, for this user only, and found by others of the node", () => {
    const folder = state();
    const shop = keysOf({ state: folder }, "shop");
    const billing = keysOf({ state: folder }, "billing");
    expect(billing("shop")).toEqual(shop("shop"));
    expect(shop("shop")).not.toEqual(shop("billing"));
    expect(statSync(join(folder, "keys/shop")).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "keys")).mode & 0o777).toBe(0o700);
    const before = readFileSync(join(folder, "keys/shop"), "utf8");
    keysOf({ state: folder }, "shop");
    expect(readFileSync(join(folder, "keys/shop"), "utf8")).toBe(before);
  });

  it("are not made, nor read from elsewhere, for a name that somebody claims", () => {
    const folder = state();
    const keyOf = keysOf({ state: folder }, "shop");
    writeFileSync(join(folder, "secret"), "x");
    for (const name of ["stranger", "../secret", "..", ".", "", "a/b"]) expect(keyOf(name)).toBeUndefined();
  });
});
