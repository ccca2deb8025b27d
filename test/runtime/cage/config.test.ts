import { describe, expect, it } from "vitest";
import { z } from "../../../lib/schema.ts";
import { type Protocols, planOf } from "../../../runtime/cage/config.ts";
import { secret } from "../../../runtime/cage/secret.ts";

const http = {
  protocol: "http",
  options: z.strictObject({ port: z.int(), host: z.string().default("127.0.0.1") }),
  create: () => ({}) as never,
};
const memo = { protocol: "memo", options: z.strictObject({ size: z.int() }), open: async () => ({}) as never };
const protocols = {
  interfaces: { http: async () => http },
  resources: { memo: async () => memo },
} as unknown as Protocols;
const plan = (own: unknown, env = {}, more = {}) => planOf("shop", { own, ...more }, protocols, env);
const failure = (own: unknown) =>
  plan(own).then(
    () => "no error",
    (error: Error) => error.message,
  );

describe("a cage's configuration", () => {
  it("may be empty: an empty directory is a cage", async () => {
    expect(await plan(undefined)).toMatchObject({ interfaces: [], resources: [], timeoutMs: 10_000 });
  });

  it("takes the protocol's options with their defaults", async () => {
    const { interfaces } = await plan({ interfaces: { web: { protocol: "http", port: 80, timeoutMs: 5 } } });
    expect(interfaces[0]).toMatchObject({ name: "web", options: { port: 80, host: "127.0.0.1" }, timeoutMs: 5 });
  });

  it("goes from defaults over cluster and cage to the environment", async () => {
    const layers = { defaults: { timeoutMs: 1, running: 1, waiting: 1 }, cluster: { timeoutMs: 2, running: 2 } };
    const made = await plan(
      { timeoutMs: 3, interfaces: { web: { protocol: "http", port: 80 } } },
      { CAGE_CONFIG__shop__interfaces__web__port: "9000", CAGE_CONFIG__other__timeoutMs: "7" },
      layers,
    );
    expect(made).toMatchObject({ timeoutMs: 3, interfaces: [{ options: { port: 9000 }, running: 2, waiting: 1 }] });
  });

  it("names the nearest key to an unknown one, with its path", async () => {
    expect(await failure({ interfces: {} })).toBe("config/shop.ts: interfces: unknown key; did you mean 'interfaces'?");
    expect(await failure({ interfaces: { web: { protocol: "http", prot: 1, port: 1 } } })).toBe(
      "config/shop.ts: interfaces.web.prot: unknown key; did you mean 'port'?",
    );
  });

  it("names the protocols there are when one is unknown", async () => {
    expect(await failure({ resources: { x: { protocol: "mem" } } })).toContain(
      "there is no protocol 'mem'; did you mean 'memo'?",
    );
    expect(await failure({ interfaces: { x: { protocol: "constructor" } } })).toContain(
      "there is no protocol 'constructor'",
    );
  });

  it("says where a value is wrong", async () => {
    expect(await failure({ interfaces: { web: { protocol: "http", port: "eighty" } } })).toContain(
      "config/shop.ts: interfaces.web.port:",
    );
  });

  it("knows equal configuration by an equal key, and a changed one by another", async () => {
    const key = async (port: number) =>
      (await plan({ interfaces: { web: { protocol: "http", port } } })).interfaces[0]?.key;
    expect(await key(1)).toBe(await key(1));
    expect(await key(1)).not.toBe(await key(2));
  });
});

describe("a secret", () => {
  it("is printed by its name only", () => {
    process.env["CAGE_SECRET_mine"] = "hush";
    const mine = secret("mine");
    expect(mine.reveal()).toBe("hush");
    expect(`${mine} ${JSON.stringify({ mine })}`).toBe('secret(mine) {"mine":{"secret":"mine"}}');
    delete process.env["CAGE_SECRET_mine"];
  });
});
