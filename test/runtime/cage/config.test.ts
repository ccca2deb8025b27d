import { describe, expect, it } from "vitest";
import { z } from "../../../lib/schema.ts";
import { type Protocols, planOf } from "../../../runtime/cage/config.ts";
import { explain } from "../../../runtime/cage/explain.ts";
import { secret } from "../../../runtime/cage/secret.ts";
import { rpc } from "../../../runtime/interfaces/rpc.ts";

const http = {
  protocol: "http",
  options: z.strictObject({
    port: z.int(),
    host: z.string().default("127.0.0.1"),
    tls: z
      .strictObject({ cert: z.string(), roots: z.array(z.strictObject({ file: z.string() })).readonly() })
      .optional(),
  }),
  create: () => ({}) as never,
  checkName: (name: string) => {
    if (!name.startsWith("GET ")) throw new Error(`'${name}' is no route`);
  },
};
const tick = { protocol: "tick", options: z.strictObject({}), create: () => ({}) as never };
const memo = { protocol: "memo", options: z.strictObject({ size: z.int() }), open: async () => ({}) as never };
const protocols = {
  interfaces: { http: async () => http, tick: async () => tick },
  resources: { memo: async () => memo },
} as unknown as Protocols;
const plan = (own: unknown, env = {}, more = {}) => planOf("shop", { own, ...more }, protocols, env);
const failure = (own: unknown, env = {}) =>
  plan(own, env).then(
    () => "no error",
    (error: Error) => error.message,
  );

describe("a cage's configuration", () => {
  it("may be empty: an empty directory is a cage", async () => {
    expect(await plan(undefined)).toMatchObject({ interfaces: [], resources: [], timeoutMs: 10_000 });
  });

  it("joins nodes as it says, by default none, and refuses what cannot be meant", async () => {
    expect((await plan(undefined)).engine).toEqual({ kind: "local" });
    const nats = { kind: "nats", servers: ["nats1:4222", "tls://[::1]"] };
    const { engine } = await plan({}, {}, { cluster: { engine: { ...nats, password: secret("nats") } } });
    expect(engine).toMatchObject({ ...nats, prefix: "cage", replicas: 1, password: { name: "nats" } });
    expect(await failure({ engine: { ...nats, sevrers: [] } })).toBe(
      "config/shop.ts: engine.sevrers: unknown key; did you mean 'servers'?",
    );
    expect(await failure({ engine: { ...nats, password: "in the open" } })).toContain('write secret("name")');
    expect(await failure({ engine: { ...nats, servers: ["nats://me:mine@nats1:4222"] } })).toContain(
      "who you are beside it",
    );
    expect(await failure({ engine: { ...nats, tls: { cert: "c.pem" } } })).toContain("cert and key go together");
    expect(await failure({ engine: { kind: "nets" } })).toContain("config/shop.ts: engine.kind");
  });

  it("bounds background work, by default as an interface", async () => {
    expect(await plan({})).toMatchObject({ background: { running: 1_000, waiting: 1_000 } });
    expect(await plan({ background: { running: 5 } })).toMatchObject({ background: { running: 5, waiting: 1_000 } });
    expect(await failure({ background: { runing: 5 } })).toBe(
      "config/shop.ts: background.runing: unknown key; did you mean 'running'?",
    );
  });

  it("bounds the calls that it answers", async () => {
    expect(await plan({})).toMatchObject({ called: { timeoutMs: 60_000, running: 4_096, waiting: 4_096 } });
    expect(await plan({ called: { running: { min: 2, max: 9 } } })).toMatchObject({
      called: { timeoutMs: 60_000, running: { min: 2, max: 9 }, waiting: 4_096 },
    });
  });

  it("takes the protocol's options with their defaults", async () => {
    const { interfaces } = await plan({ interfaces: { web: { protocol: "http", port: 80, timeoutMs: 5 } } });
    expect(interfaces[0]).toMatchObject({ name: "web", options: { port: 80, host: "127.0.0.1" }, timeoutMs: 5 });
  });

  it("dials addresses, and says how they are written", async () => {
    const addresses = ["shop.example.org:7100", "/run/shop.sock"];
    expect(await plan({ dial: addresses })).toMatchObject({ dial: addresses });
    expect(await failure({ dail: [] })).toBe("config/shop.ts: dail: unknown key; did you mean 'dial'?");
    expect(await failure({ dial: ["/run/shop.sock", "shop"] })).toBe(
      'config/shop.ts: dial.1: say "host:port", or the absolute path of a socket',
    );
  });

  it("calls over dialled connections from one process only, for only one has them", async () => {
    const own = { processes: 2, interfaces: { door: { protocol: "rpc", port: 7100, reverse: ["till"] } } };
    const known = { interfaces: { rpc: async () => rpc }, resources: {} } as unknown as Protocols;
    await expect(planOf("shop", { own }, known, {})).rejects.toThrow(/interfaces.door.reverse: .* say processes: 1/);
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

  it("makes another interface of one whose limits changed, also where they are the cage's", async () => {
    const key = async (own: object) => {
      const { interfaces } = await plan({ ...own, interfaces: { web: { protocol: "http", port: 80 } } });
      return interfaces[0]?.key;
    };
    expect(await key({ settings: { any: 1 } })).toBe(await key({}));
    for (const own of [{ timeoutMs: 500 }, { running: 5 }, { waiting: 5 }])
      expect(await key(own)).not.toBe(await key({}));
  });

  it("limits requests by a number or by a range within which it is found, and calls by the cage that is called", async () => {
    const web = { protocol: "http", port: 80, running: { min: 10, max: 200 } };
    const made = await plan({ interfaces: { web }, calls: { billing: { running: 5, timeoutMs: 300 } } });
    expect(made).toMatchObject({
      interfaces: [{ running: { min: 10, max: 200 }, waiting: 1_000 }],
      calls: { billing: { running: 5, waiting: 1_000, timeoutMs: 300 } },
    });
    expect(await failure({ running: { min: 10, max: 5 } })).toBe("config/shop.ts: running: min is larger than max");
    expect(await failure({ calls: { billing: { runing: 5 } } })).toBe(
      "config/shop.ts: calls.billing.runing: unknown key; did you mean 'running'?",
    );
    const rows = await explain(
      "shop",
      { own: { running: { min: 1, max: 9 }, interfaces: { web: { protocol: "http", port: 1 } } } },
      protocols,
      {},
    );
    expect(rows).toContainEqual(expect.objectContaining({ key: "interfaces.web.running.max", value: 9, from: "cage" }));
  });

  it("names the nearest key to an unknown one, with its path", async () => {
    expect(await failure({ interfces: {} })).toBe("config/shop.ts: interfces: unknown key; did you mean 'interfaces'?");
    expect(await failure({ interfaces: { web: { protocol: "http", prot: 1, port: 1 } } })).toBe(
      "config/shop.ts: interfaces.web.prot: unknown key; did you mean 'port'?",
    );
  });

  it("names the nearest key at any depth: in options, lists, and among what any interface may have", async () => {
    const web = (more: object) => ({ interfaces: { web: { protocol: "http", port: 1, ...more } } });
    expect(await failure(web({ tls: { crt: "x", roots: [] } }))).toBe(
      "config/shop.ts: interfaces.web.tls.crt: unknown key; did you mean 'cert'?",
    );
    expect(await failure(web({ tls: { cert: "x", roots: [{ file: "a" }, { flie: "b" }] } }))).toBe(
      "config/shop.ts: interfaces.web.tls.roots.1.flie: unknown key; did you mean 'file'?",
    );
    expect(await failure(web({ runing: 1 }))).toBe(
      "config/shop.ts: interfaces.web.runing: unknown key; did you mean 'running'?",
    );
  });

  it("blames who said it: the file, or the variable", async () => {
    const web = { interfaces: { web: { protocol: "http", port: 1 } } };
    expect(await failure(web, { CAGE_CONFIG__shop__interfaces__web__port: "eighty" })).toMatch(
      /^CAGE_CONFIG__shop__interfaces__web__port: /,
    );
    expect(await failure(web, { CAGE_CONFIG__shop__timeoutMS: "1" })).toBe(
      "CAGE_CONFIG__shop__timeoutMS: unknown key; did you mean 'timeoutMs'?",
    );
    await expect(plan(web, {}, { cluster: { waiting: -1 } })).rejects.toThrow(/^config\/cluster\.ts: waiting: /);
    expect(
      await failure({ interfaces: { web: { protocol: "http" } } }, { CAGE_CONFIG__shop__interfaces__web__host: "x" }),
    ).toMatch(/^config\/shop\.ts: interfaces\.web\.port: /);
    expect(
      await failure(web, { CAGE_CONFIG__shop__settings__a: "1", CAGE_CONFIG__shop__settings__a__b: "2" }),
    ).toContain("CAGE_CONFIG__shop__settings__a");
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

describe("an explained configuration", () => {
  const rows = async (layers: object, env = {}) =>
    Object.fromEntries((await explain("shop", layers, protocols, env)).map((row) => [row.key, row]));

  it("says of each value where it comes from and what it stands over, nearest first", async () => {
    const layers = {
      defaults: { timeoutMs: 1 },
      cluster: { timeoutMs: 2 },
      own: { timeoutMs: 3, interfaces: { web: { protocol: "http", port: 80, running: 5 } } },
    };
    const found = await rows(layers, { CAGE_CONFIG__shop__timeoutMs: "4" });
    expect(found["timeoutMs"]).toEqual({
      key: "timeoutMs",
      value: 4,
      from: "environment",
      file: "CAGE_CONFIG__shop__timeoutMs",
      over: [
        { from: "cage", file: "config/shop.ts", value: 3 },
        { from: "cluster", file: "config/cluster.ts", value: 2 },
        { from: "defaults", file: "config/defaults.ts", value: 1 },
      ],
    });
    expect(found["interfaces.web.host"]).toMatchObject({ value: "127.0.0.1", from: "built in", file: "" });
    expect(found["interfaces.web.running"]).toMatchObject({ value: 5, from: "cage" });
    expect(found["interfaces.web.timeoutMs"], "the cage's own limit").toMatchObject({ value: 4, from: "environment" });
    expect(found["interfaces.web.waiting"]).toMatchObject({ value: 1_000, from: "built in" });
  });

  it("shows secrets by reference only, also where a plain one replaced it or stands where none should", async () => {
    const settings = {
      a: secret("one"),
      b: secret("two"),
      password: "hunter2",
      url: "postgres://ann:hunter3@db/shop",
      list: [{ apiKey: "hunter4", of: secret("three") }],
      migrate: () => "hunter5",
    };
    const found = await rows({ own: { settings } }, { CAGE_CONFIG__shop__settings__b: "hunter6" });
    expect(JSON.stringify(found)).not.toContain("hunter");
    expect(found["settings.a"]?.value).toBe("secret(one)");
    expect(found["settings.b"]).toMatchObject({ from: "environment", over: [{ value: "secret(two)" }] });
    expect(found["settings.url"]?.value).toBe("postgres://ann:(hidden)@db/shop");
    expect(found["settings.list"]?.value).toMatchObject([{ of: "secret(three)" }]);
  });
});

describe("answers", () => {
  const modules = { names: ["greeter"], module: (name: string) => (name === "greeter" ? { hello() {} } : undefined) };
  const answered = (answers: unknown, protocol = "http") => {
    const web = { protocol, ...(protocol === "http" ? { port: 80 } : {}), answers };
    return planOf("shop", { own: { interfaces: { web } } }, protocols, {}, modules);
  };
  const message = (answers: unknown, protocol?: string) =>
    answered(answers, protocol).then(
      () => "no error",
      (error: Error) => error.message,
    );

  it("belong to any interface whose protocol asks for something", async () => {
    const { interfaces } = await answered({ "GET /:who": "greeter.hello(who)" });
    expect(interfaces[0]?.answers.get("GET /:who")).toMatchObject({ module: "greeter", function: "hello" });
    expect(await message({ now: "greeter.hello" }, "tick")).toBe(
      "config/shop.ts: interfaces.web.answers: protocol 'tick' asks for nothing, so it takes no answers",
    );
  });

  it("that name no work, are not written as one, or name no function are refused with the place and the nearest", async () => {
    const at = "config/shop.ts: interfaces.web.answers.";
    expect(await message({ "/x": "greeter.hello" })).toBe(`${at}/x: '/x' is no route`);
    expect(await message({ "GET /": "hello" })).toContain(`${at}GET /: no module.function in "hello"; write`);
    expect(await message({ "GET /": "greter.hello" })).toBe(
      `${at}GET /: there is no module 'greter'; did you mean 'greeter'?`,
    );
    expect(await message({ "GET /": "greeter.helo" })).toBe(
      `${at}GET /: there is no function 'greeter.helo'; did you mean 'hello'?`,
    );
    expect(await message({ "GET /": 7 })).toContain(`${at}GET /`);
    expect(await failure({ interfaces: { web: { protocol: "http", port: 1, answrs: {} } } })).toContain(
      "did you mean 'answers'?",
    );
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
