/**
 * The listening sockets of an instance, held by its supervisor as raw handles: bound here, listened on by whichever
 * workers are alive. Counted by address and worker, so that a changed interface on the same port, and other processes of
 * the cage, share the one that is open.
 *
 * `_createServerHandle` is what node:cluster itself binds with; the public `listen` would make this process accept.
 */

import { linkSync, lstatSync, unlinkSync } from "node:fs";
import net from "node:net";
import { constants } from "node:os";
import type { Address } from "./link.ts";

interface Handle {
  close(): void;
  getsockname?(out: { port?: number }): number;
}

type CreateHandle = (address: string, port: number, family: number) => Handle | number;
const createHandle = (net as unknown as { _createServerHandle: CreateHandle })._createServerHandle;

const keyOf = (address: Address): string => ("path" in address ? address.path : `${address.host}:${address.port}`);

export interface Bequest {
  readonly key: string;
  readonly path: string | undefined;
}

interface Row {
  readonly handle: Handle;
  /** How often each worker has it. */
  readonly users: Map<unknown, number>;
  readonly path: string | undefined;
}

export class Listeners {
  readonly #open = new Map<string, Row>();

  /** The handle for an address, or the errno of why not. Port 0 is always a new one. A worker is whatever tells it from others. */
  take(address: Address, worker: unknown): Handle | number {
    const key = keyOf(address);
    const known = this.#open.get(key);
    if (known !== undefined) {
      known.users.set(worker, (known.users.get(worker) ?? 0) + 1);
      return known.handle;
    }
    const handle =
      "path" in address
        ? bound(address.path)
        : createHandle(address.host, address.port, net.isIPv6(address.host) ? 6 : 4);
    if (typeof handle === "number") return handle;
    if ("port" in address && address.port !== 0 && boundPort(handle) !== address.port) {
      handle.close();
      return constants.errno.EADDRINUSE * -1;
    }
    // Port 0 is known by the port it became: that is how it is given back.
    const name = "port" in address && address.port === 0 ? `${address.host}:${boundPort(handle)}` : key;
    this.#open.set(name, {
      handle,
      users: new Map([[worker, 1]]),
      path: "path" in address ? address.path : undefined,
    });
    return handle;
  }

  /** One use less; the last one closes it. */
  release(address: Address, worker: unknown): void {
    const key = keyOf(address);
    const known = this.#open.get(key);
    if (known === undefined) return;
    const left = (known.users.get(worker) ?? 0) - 1;
    if (left > 0) known.users.set(worker, left);
    else known.users.delete(worker);
    if (known.users.size === 0) this.#close(key, known);
  }

  /** The worker died: its uses are gone, the sockets stay for the next one. */
  forget(worker: unknown): void {
    for (const row of this.#open.values()) row.users.delete(worker);
  }

  /** The worker left, and no other comes for it: what only it had is closed. */
  leave(worker: unknown): void {
    for (const [key, row] of this.#open) if (row.users.delete(worker) && row.users.size === 0) this.#close(key, row);
  }

  /** A new worker serves: what it did not take again, nobody will accept on. */
  sweep(): void {
    for (const [key, row] of this.#open) if (row.users.size === 0) this.#close(key, row);
  }

  #close(key: string, row: Row): void {
    this.#open.delete(key);
    row.handle.close();
    if (row.path !== undefined) removeStale(row.path);
  }

  /** For another process, which is given the handles: what it has to know of each. */
  bequeath(): readonly (readonly [Bequest, object])[] {
    return [...this.#open].map(([key, { handle, path }]) => [{ key, path }, handle]);
  }

  inherit({ key, path }: Bequest, handle: object): void {
    this.#open.set(key, { handle: handle as Handle, users: new Map(), path });
  }

  /** Another process has them: they are closed here, and their names stay. */
  abandon(): void {
    for (const { handle } of this.#open.values()) handle.close();
    this.#open.clear();
  }

  closeAll(): void {
    for (const [key, row] of this.#open) this.#close(key, row);
  }
}

/**
 * Bound by another name, of the same length, and then renamed: whoever closes the handle removes the name that it bound, and
 * the socket may be another process's by then (upgrade.ts). Nor is there a moment without it.
 */
export function bound(path: string): Handle | number {
  const first = `${path.slice(0, -1)}~`;
  removeStale(first);
  const handle = createHandle(first, -1, -1);
  if (typeof handle === "number") return handle;
  removeStale(path);
  try {
    linkSync(first, path);
    unlinkSync(first);
  } catch {
    handle.close();
    return constants.errno.EADDRINUSE * -1;
  }
  return handle;
}

/** A bind that failed shows only here: listening would then silently take a random port. */
function boundPort(handle: Handle): number | undefined {
  const out: { port?: number } = {};
  return handle.getsockname?.(out) === 0 ? out.port : undefined;
}

/**
 * Only this instance's supervisor gets here (it holds the control socket), so what lies there is left over. A path may be
 * from a configuration: what is no socket there is somebody's file, and stays.
 */
function removeStale(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch {
    // It was not there.
  }
}
