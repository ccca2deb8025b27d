import { expect, test } from "vitest";
import { Listeners } from "../../../runtime/cage/listeners.ts";

const port = (handle: unknown): number => {
  const out: { port?: number } = {};
  (handle as { getsockname(out: { port?: number }): number }).getsockname(out);
  return out.port as number;
};
const any = { host: "127.0.0.1", port: 0 };

test("each port 0 is a port of its own, given back by the port it became", () => {
  const listeners = new Listeners();
  const [one, two] = [port(listeners.take(any, 1)), port(listeners.take(any, 1))];
  expect(one).not.toBe(two);
  listeners.release({ host: any.host, port: one }, 1);
  expect(port(listeners.take({ host: any.host, port: one }, 1))).toBe(one);
  listeners.closeAll();
});

test("what a new worker does not take again is closed, so that nobody waits there for ever", () => {
  const listeners = new Listeners();
  const other = new Listeners();
  const kept = port(listeners.take(any, 1));
  const left = port(listeners.take(any, 1));
  listeners.forget(1);
  listeners.take({ host: any.host, port: kept }, 1);
  listeners.sweep();
  expect(typeof other.take({ host: any.host, port: left }, 1)).toBe("object");
  other.closeAll();
  listeners.closeAll();
});

test("what a worker that left had alone is closed, and what others have stays", () => {
  const listeners = new Listeners();
  const other = new Listeners();
  const [old, next] = [{}, {}];
  const handle = listeners.take(any, old);
  const shared = { host: any.host, port: port(handle) };
  const alone = port(listeners.take(any, old));
  listeners.take(shared, next);
  listeners.leave(old);
  expect(typeof other.take({ host: any.host, port: alone }, 1)).toBe("object");
  expect(listeners.take(shared, next)).toBe(handle);
  other.closeAll();
  listeners.closeAll();
});
