/** Who may come in: certificates that are not the right ones, and what becomes of those who have them. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Joined } from "../../../../runtime/engine/joined.ts";
import type { CageError } from "../../../../runtime/errors.ts";
import { events } from "../../../../runtime/health/events.ts";
import { authority, List, writeKeys } from "../../../kit/list.ts";
import { carry } from "../../../kit/session.ts";

const nothing = async () => undefined;

describe("a node of a list", () => {
  let list: List;
  let shop: Joined;
  let problems: string[];
  let off: () => void;

  beforeEach(async () => {
    problems = [];
    off = events.on("problem", ({ what, error }) => problems.push(`${what}: ${(error as Error).message}`));
    list = await List.of({ east: ["shop"], west: ["till"] });
    shop = list.join("east", "shop");
    await shop.start(nothing);
  });
  afterEach(async () => {
    off();
    await list.remove();
  });

  /** Why the cage cannot be called. Polled: for 50 ms it is what it was before the other one came. */
  const failure = (engine: Joined, cage: string) =>
    expect.poll(() =>
      engine.call({ cage }, "m.f", [], carry).then(
        () => "it was answered",
        ({ code, message }: CageError) => `${code} ${message}`,
      ),
    );

  it("refuses one whose certificate is of another authority, which both say once", async () => {
    writeKeys(list.keysOf("west"), authority("another"), "west");
    const till = list.join("west", "till", { keys: "found" });
    await till.start(nothing);
    const why = "the certificate shown is not of this cluster's authority";
    for (let n = 0; n < 3; n++)
      await failure(shop, "till").toMatch(new RegExp(`^UNAVAILABLE west.till at 127.0.0.1:.* ${why}`));
    await failure(till, "shop").toContain(why);
    await expect.poll(() => problems.filter((said) => said.startsWith("joining west.till"))).toHaveLength(1);
    await expect.poll(() => problems.filter((said) => said.startsWith("joining east.shop"))).toHaveLength(1);
  });

  it("refuses one whose certificate has expired, and tells it so", async () => {
    writeKeys(list.keysOf("west"), list.authority, "west", -1_000);
    const till = list.join("west", "till", { keys: "found" });
    await till.start(nothing);
    await failure(till, "shop").toContain("it refuses this node: the certificate shown has expired");
    await failure(shop, "till").toContain("the certificate shown has expired");
    await expect
      .poll(() => problems.filter((said) => said.includes("connection from 127.0.0.1 was refused")))
      .toEqual([expect.stringContaining("the certificate shown has expired")]);
    expect(problems).toContainEqual(expect.stringMatching(/^the certificate of this node expires: .*keys node west/));
  });

  it("does not start with a certificate of another node, nor with a key that does not fit", async () => {
    writeKeys(list.keysOf("west"), list.authority, "north");
    const till = list.join("west", "till", { keys: "found" });
    await expect(till.start(nothing)).rejects.toMatchObject({
      code: "CONFIG",
      message: expect.stringContaining("it names node north, and this is node west"),
    });
  });

  it("refuses the certificate of another node than the list has there", async () => {
    writeKeys(list.keysOf("north"), list.authority, "north");
    const north = list.join("north", "till", { nodes: { north: list.options.nodes["west"] ?? {} } });
    await north.start(nothing);
    await failure(shop, "till").toContain("it is node north");
  });

  it("refuses a node that is not in its list, and tells it so", async () => {
    const north = list.join("north", "till", { nodes: { north: {} } });
    await north.start(nothing);
    await failure(north, "shop").toContain("it refuses this node: node north is not in engine.nodes of node east");
    expect(problems).toContainEqual(expect.stringContaining("was refused: node north is not in engine.nodes"));
  });

  it("refuses who calls itself as it does", async () => {
    const socket = dial(list.portOf("east", "shop"), list.keysOf("east"));
    expect(await said(socket)).toEqual({ refused: expect.stringContaining("node east is this one") });
  });

  it("refuses another cage at an address than the list has there", async () => {
    const wrong = list.join("west", "tell", { nodes: { west: { tell: `127.0.0.1:${list.portOf("west", "till")}` } } });
    await wrong.start(nothing);
    await failure(shop, "till").toContain("it is process 1 of tell; mend engine.nodes");
  });

  it("lets in nobody without a certificate, nor says who it is", async () => {
    const socket = dial(list.portOf("east", "shop"));
    expect(await said(socket)).toEqual({ refused: "no certificate was shown" });
    await once(socket, "close");
    expect(problems).toEqual([expect.stringContaining("was refused: no certificate was shown")]);
  });

  it("lets in nobody who speaks without TLS, and says so once however often it comes", async () => {
    for (let n = 0; n < 3; n++) {
      const socket = connectPlain(list.portOf("east", "shop"), "127.0.0.1");
      socket.on("error", () => {});
      socket.write("GET / HTTP/1.1\r\n\r\n");
      await once(socket, "close");
    }
    expect(problems).toEqual([expect.stringContaining("127.0.0.1 was refused: it does not speak TLS 1.3")]);
  });

  it("hangs up on who greets and says nothing", async () => {
    writeKeys(list.keysOf("west"), list.authority, "west");
    const socket = dial(list.portOf("east", "shop"), list.keysOf("west"));
    expect(await said(socket)).toEqual({ cage: "shop", process: 1, leaving: false });
    await once(socket, "close");
  });

  it("takes new certificates while it runs: those who come now see them, calls go on", async () => {
    const till = list.join("west", "till");
    await till.start(async () => "till");
    expect(await shop.call({ cage: "till" }, "m.f", [], carry)).toBe("till");
    const before = await seenAt(list.portOf("east", "shop"));
    writeKeys(list.keysOf("east"), list.authority, "east");
    await expect.poll(() => seenAt(list.portOf("east", "shop")), { timeout: 10_000 }).not.toBe(before);
    expect(await shop.call({ cage: "till" }, "m.f", [], carry)).toBe("till");
    expect(problems.filter((said) => said.includes("of this node"))).toEqual([]);
  });

  it("keeps the old certificate when the new files are of another node, and says so", async () => {
    const before = await seenAt(list.portOf("east", "shop"));
    writeKeys(list.keysOf("east"), list.authority, "south");
    await expect
      .poll(() => problems, { timeout: 10_000 })
      .toContainEqual(expect.stringMatching(/the old one is used on: .*names node south/));
    expect(await seenAt(list.portOf("east", "shop"))).toBe(before);
  });
});

/** As a node does it, with what lies in `keys`, or without. */
function dial(port: number, keys?: string): TLSSocket {
  const of = (name: string) => readFileSync(join(keys as string, `${name}.pem`));
  const certificate = keys === undefined ? {} : { cert: of("node"), key: of("node-key") };
  const socket = connect({
    port,
    host: "127.0.0.1",
    ...certificate,
    rejectUnauthorized: false,
    ALPNProtocols: ["cage-nodes/1"],
  });
  return socket.on("error", () => {});
}

async function said(socket: TLSSocket): Promise<unknown> {
  const [line] = (await once(socket, "data")) as [Buffer];
  return JSON.parse(line.toString());
}

/** The fingerprint of the certificate that is shown there. */
async function seenAt(port: number): Promise<string> {
  const socket = dial(port);
  await once(socket, "secureConnect");
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}
