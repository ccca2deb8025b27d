/** Who may say what: the server's permissions, its certificate, and what this side proves to it. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createAccount, createOperator, createUser, type KeyPair } from "@nats-io/nkeys";
import { connect } from "@nats-io/transport-node";
import { afterEach, expect } from "vitest";
import type { Carry } from "../../../../runtime/engine/engine.ts";
import { message, messages } from "../../../../runtime/engine/nats/tunnel.ts";
import type { NatsOptions } from "../../../../runtime/engine/options.ts";
import type { CageError } from "../../../../runtime/errors.ts";
import { events } from "../../../../runtime/health/events.ts";
import { makeCertificate, temporaryFolder } from "../../../kit/http.ts";
import { type NatsServer, type NatsServerOptions, natsServer } from "../../../kit/nats.ts";
import { needing } from "../../../kit/needs.ts";
import { Nodes } from "../../../kit/nodes.ts";
import { home } from "../../../kit/project.ts";

const { describe, it } = needing("nats", "openssl");
const carry: Carry = { remainingMs: 5_000, trace: { id: "a".repeat(32), span: "b".repeat(16) }, logLevel: "info" };
const secret = (name: string, value: string) => ({ name, reveal: () => value });
/** As README states them, for the node called east. */
const [stated] =
  /publish: \[[^\]]*\]\s*subscribe: \[[^\]]*\]/.exec(readFileSync(join(home, "README.md"), "utf8")) ?? [];
const permissions = (node: string): string => `{ ${stated?.replaceAll(".east.", `.${node}.`)} }`;
const users = ["one", "two"].map(
  (node) => `{ user: ${node}, password: "pass-${node}", permissions: ${permissions(node)} }`,
);

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function started(options: NatsServerOptions): Promise<NatsServer> {
  const server = await natsServer(options);
  ends.push(() => server.stop());
  return server;
}

function nodesOf(server: NatsServer, options: Partial<NatsOptions> = {}): Nodes {
  const nodes = new Nodes({ servers: [server.address], ...options });
  ends.push(() => nodes.remove());
  return nodes;
}

const as = (node: string): Partial<NatsOptions> => ({ user: node, password: secret("nats", `pass-${node}`) });

function problems(): CageError[] {
  const heard: CageError[] = [];
  ends.push(events.on("problem", ({ error }) => heard.push(error as CageError)));
  return heard;
}

describe("with permissions for each node", () => {
  const guarded = () => started({ config: `authorization { users: [${users.join(", ")}] }` });

  it("all that nodes do for each other is allowed by the permissions of the README", async () => {
    const nodes = nodesOf(await guarded());
    const said = problems();
    const [a, b] = [nodes.join("one", "a", 1, as("one")), nodes.join("two", "b", 1, as("two"))];
    await a.start(async () => undefined);
    await b.start(async (from) => `${from.node}.${from.cage}`);
    const heard: unknown[] = [];
    b.subscribe("news.*", (data) => heard.push(data));
    expect(await a.call({ cage: "b" }, "f", [], carry)).toBe("one.a");
    await a.kv.write("k", 1);
    expect((await b.kv.read("k"))?.value).toBe(1);
    await b.discover();
    await a.publish("news.today", "it works");
    await expect.poll(() => heard).toEqual(["it works"]);
    expect(said).toEqual([]);
  });

  it("a node cannot come with the name of another", async () => {
    const nodes = nodesOf(await guarded());
    await nodes.join("one", "a", 1, as("one")).start(async () => undefined);
    const said = problems();
    const forger = nodes.join("two", "b", 1, { ...as("one"), state: "forger" });
    await forger.start(async () => undefined);
    await expect.poll(() => said.map(({ code }) => code), { timeout: 5_000 }).toContain("FORBIDDEN");
    expect((await forger.discover()).filter(({ node }) => node === "one")).toEqual([]);
  });

  it("what is sent in another's name arrives nowhere, and what is sent in one's own bears it", async () => {
    const server = await guarded();
    const nodes = nodesOf(server);
    const served: string[] = [];
    const b = nodes.join("two", "b", 1, as("two"));
    await b.start(async (from) => void served.push(`${from.node}.${from.cage}`));
    const forger = await connect({ servers: server.address, user: "one", pass: "pass-one" });
    ends.push(() => forger.close());
    // Where b is, as everybody may hear.
    const here = forger.subscribe("cage.here.>", { max: 1 });
    const [, , , , id] = ((await here[Symbol.asyncIterator]().next()).value?.subject ?? "").split(".");
    const refused: string[] = [];
    void (async () => {
      for await (const status of forger.status()) if (status.type === "error") refused.push(status.error.message);
    })();
    forger.publish(`cage.to.two.b.${id}.from.three.bank.x.t`, message(messages.open));
    forger.publish("cage.event.three.bank.x.news", message(0));
    await expect.poll(() => refused.length).toBe(2);
    expect(refused.join()).toContain("Permissions Violation");
    expect(served).toEqual([]);
  });
});

describe("the connection to the server", () => {
  it("is refused with a wrong password, which is not told, and tried again", async () => {
    const server = await started({ config: `authorization { user: cage, password: right }` });
    const said = problems();
    const engine = nodesOf(server).join("one", "a", 1, { user: "cage", password: secret("nats", "wrong-and-hidden") });
    await engine.start(async () => undefined);
    expect(said[0]).toMatchObject({ code: "UNAUTHORIZED", message: expect.stringContaining("config/cluster.ts") });
    expect(JSON.stringify(said.map((error) => [error, String(error), String(error.cause)]))).not.toContain("wrong-and");
    expect(await engine.call({ cage: "b" }, "f", [], carry).catch(({ code }) => code)).toBe("UNAVAILABLE");
  });

  it("is by TLS both ways where that is configured, and none to a server that cannot prove itself", async () => {
    const folder = temporaryFolder();
    ends.push(() => folder.remove());
    const [own, client, stranger] = ["server", "client", "stranger"].map((name) =>
      makeCertificate(folder.path, name, "localhost"),
    ) as [{ cert: string; key: string }, { cert: string; key: string }, { cert: string; key: string }];
    const server = await started({
      config: `tls { cert_file: "${own.cert}", key_file: "${own.key}", ca_file: "${client.cert}", verify: true }`,
    });
    const at = { servers: [`localhost:${server.port}`] };
    const nodes = nodesOf(server, { ...at, tls: { ca: own.cert, cert: client.cert, key: client.key } });
    const [a, b] = [nodes.join("one", "a"), nodes.join("two", "b")];
    await a.start(async () => undefined);
    await b.start(async () => "over TLS");
    expect(await a.call({ cage: "b" }, "f", [], carry)).toBe("over TLS");
    const said = problems();
    await nodesOf(server, { ...at, tls: { ca: stranger.cert, cert: client.cert, key: client.key } })
      .join("three", "c")
      .start(async () => undefined);
    expect(said[0]).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("self-signed certificate") });
    await nodesOf(server, { ...at, tls: { ca: "missing.pem" } })
      .join("four", "d")
      .start(async () => undefined);
    expect(said.at(-1)).toMatchObject({ code: "CONFIG", message: expect.stringContaining("missing.pem") });
  });

  it("takes credentials as NATS's own tools make them", async () => {
    const folder = temporaryFolder();
    ends.push(() => folder.remove());
    const [operator, account, user] = [createOperator(), createAccount(), createUser()];
    const accountToken = jwt(operator, account, "account", { limits: unlimited });
    const server = await started({
      jetstream: false,
      config: `operator: "${jwt(operator, operator, "operator", {})}"
resolver: MEMORY
resolver_preload: { ${account.getPublicKey()}: "${accountToken}" }`,
    });
    const file = join(folder.path, "node.creds");
    const userToken = jwt(account, user, "user", { subs: -1, data: -1, payload: -1 });
    const seed = Buffer.from(user.getSeed()).toString();
    const frame = (what: string, text: string) => `-----BEGIN ${what}-----\n${text}\n------END ${what}------\n\n`;
    writeFileSync(file, frame("NATS USER JWT", userToken) + frame("USER NKEY SEED", seed));
    const nodes = nodesOf(server, { credentials: file });
    const [a, b] = [nodes.join("one", "a"), nodes.join("two", "b")];
    await a.start(async () => undefined);
    await b.start(async () => "with credentials");
    expect(await a.call({ cage: "b" }, "f", [], carry)).toBe("with credentials");
  });
});

const unlimited = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };

function jwt(by: KeyPair, of: KeyPair, type: string, nats: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: by.getPublicKey(), sub: of.getPublicKey(), name: type, iat: 1, jti: type };
  const text = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part({ ...claims, nats: { ...nats, type, version: 2 } })}`;
  return `${text}.${Buffer.from(by.sign(Buffer.from(text))).toString("base64url")}`;
}
