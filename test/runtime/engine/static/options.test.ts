import { describe, expect, it } from "vitest";
import { engineOptions, portsOf } from "../../../../runtime/engine/options.ts";

describe("an address of the list", () => {
  it("is a port, or one for each process", () => {
    expect(portsOf("10.0.0.1:7201")).toEqual({ host: "10.0.0.1", ports: [7201] });
    expect(portsOf("till.example.org:7201-7203")).toEqual({ host: "till.example.org", ports: [7201, 7202, 7203] });
    expect(portsOf("[::1]:65535")).toEqual({ host: "::1", ports: [65_535] });
  });

  it.each(["7201", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:65536", "h:65535-65536", "h:7203-7201", "h:1-65", "/a:1", ""])(
    "is not %j, which a configuration with it says",
    (text) => {
      expect(portsOf(text)).toBeUndefined();
      const parsed = engineOptions.safeParse({ kind: "static", nodes: { west: { till: text } } });
      expect(parsed.error?.issues[0]).toMatchObject({
        path: ["nodes", "west", "till"],
        message: 'write "host:port", or "host:first-last" for processes',
      });
    },
  );

  it("belongs to a node and a cage whose names are names", () => {
    expect(engineOptions.safeParse({ kind: "static", nodes: { "a.b": {} } }).success).toBe(false);
    expect(engineOptions.safeParse({ kind: "static", nodes: { west: { "a/b": "h:1" } } }).success).toBe(false);
    expect(engineOptions.safeParse({ kind: "static", nodes: { west: {} } }).success).toBe(true);
  });
});
