import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Authority } from "../../../runtime/cage/authority.ts";

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe("the authority of a cluster", () => {
  let state: string;
  let authority: Authority;
  beforeEach(() => {
    state = mkdtempSync(join(tmpdir(), "authority-"));
    authority = new Authority({ state });
  });
  afterEach(() => rmSync(state, { recursive: true }));

  it("gives each node a folder with all that it needs, which only this user can read", () => {
    authority.make(100);
    const { folder, node } = authority.certify("west", 10);
    expect(node).toBe("west");
    expect([modeOf(authority.folder), modeOf(folder)]).toEqual(["700", "700"]);
    for (const name of ["ca.pem", "node.pem", "node-key.pem"]) expect(modeOf(join(folder, name))).toBe("600");
    expect(modeOf(join(authority.folder, "ca-key.pem"))).toBe("600");
  });

  it("is made once", () => {
    authority.make(100);
    const before = readFileSync(join(authority.folder, "ca.pem"), "utf8");
    expect(() => authority.make(100)).toThrow(expect.objectContaining({ code: "CONFLICT" }));
    expect(readFileSync(join(authority.folder, "ca.pem"), "utf8")).toBe(before);
  });

  it("makes a certificate anew with another key, and none that outlasts it", () => {
    const { until } = authority.make(100);
    const first = authority.certify("west", 10);
    const key = readFileSync(join(first.folder, "node-key.pem"), "utf8");
    const second = authority.certify("west", 1_000);
    expect(readFileSync(join(first.folder, "node-key.pem"), "utf8")).not.toBe(key);
    expect(second.until).toEqual(until);
  });

  it("is not made by asking for a certificate, nor gives one to what is no name", () => {
    expect(() => authority.certify("west", 10)).toThrow("./cage keys authority");
    authority.make(100);
    for (const name of ["", "../west", "a/b", "x".repeat(33)])
      expect(() => authority.certify(name, 10)).toThrow(expect.objectContaining({ code: "BAD_INPUT" }));
  });

  it("lists what there is, and names a file that is no certificate", () => {
    expect(authority.list()).toEqual([]);
    authority.make(100);
    authority.certify("west", 10);
    authority.certify("east", 10);
    expect(authority.list().map(({ node }) => node)).toEqual([undefined, "east", "west"]);
    writeFileSync(join(authority.folder, "west", "node.pem"), "nonsense");
    expect(() => authority.list()).toThrow(/west\/node.pem is no certificate/);
  });
});
