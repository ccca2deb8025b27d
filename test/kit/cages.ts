/**
 * Cages run inside the test's process: their real modules, real resources in a temporary folder, real requests, real
 * outbox interfaces and retried calls; only processes and sockets between them are left out (test/e2e has those). What
 * crosses from cage to cage goes through the wire's packer, as between processes.
 *
 *     const planet = await openCages({ core: { api, modules: { events }, config }, impact: { ... } });
 *     await planet.run("impact", () => signUp("ann", "..."));
 *     await planet.down("impact");  planet.up("impact");        // calls to it fail with UNAVAILABLE meanwhile
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createPackers } from "../../lib/pack.ts";
import type { CageConfig, Plan } from "../../runtime/cage/config.ts";
import { planOf } from "../../runtime/cage/config.ts";
import { Host } from "../../runtime/cage/host.ts";
import { protocols } from "../../runtime/cage/protocols.ts";
import { withRelays } from "../../runtime/cage/relays.ts";
import { CageError, coded } from "../../runtime/errors.ts";
import type { Interface } from "../../runtime/interfaces/interface.ts";
import { type Lease, Request, run, type Services } from "../../runtime/request/request.ts";
import type { Resource } from "../../runtime/resources/resource.ts";
import { openRetries, type Retries } from "../../runtime/retry/retry.ts";
import { type Api, invoke } from "../../runtime/rpc/api.ts";

export interface CageParts {
  readonly api: Api;
  readonly config: CageConfig;
  /** Modules that answer interfaces, by name. Interfaces without one here are left out. */
  readonly modules?: Readonly<Record<string, Api>>;
}

export interface Cages {
  readonly dir: string;
  run<T>(
    cage: string,
    fn: () => T | Promise<T>,
    options?: { retry?: { id: string; attempt: number }; timeoutMs?: number },
  ): Promise<T>;
  down(cage: string): void;
  up(cage: string): void;
  close(): Promise<void>;
}

export async function openCages(parts: Readonly<Record<string, CageParts>>): Promise<Cages> {
  const dir = mkdtempSync(join(tmpdir(), "cages-"));
  const away = new Set<string>();
  const packers = createPackers();
  const wire = <T>(value: T): T => packers.unpack(packers.pack(value)) as T;
  const opened = new Map<string, { lease: Lease; services: Services; retries: Retries; close(): Promise<void> }>();

  const request = async <T>(cage: string, label: string, fn: () => T | Promise<T>, more: object = {}): Promise<T> => {
    const { lease, services } = opened.get(cage) as { lease: Lease; services: Services };
    const request = new Request({ services, lease, interface: "test", label, timeoutMs: 10_000, ...more });
    try {
      return await run(request, async () => await fn());
    } finally {
      request.end();
    }
  };
  const call = async (cage: string, path: string, args: readonly unknown[], more: object): Promise<unknown> => {
    if (away.has(cage) || !opened.has(cage)) throw new CageError("UNAVAILABLE", `${cage} is down`);
    try {
      return wire(await request(cage, path, () => invoke(parts[cage]?.api, path, wire(args)), more));
    } catch (error) {
      const { code, message, details } = coded(error);
      throw new CageError(code, message, details ? { details } : {});
    }
  };

  for (const [cage, { config, modules }] of Object.entries(parts)) {
    const plan: Plan = await planOf(cage, { own: without(config, modules) }, protocols, {});
    const stateDir = join(dir, cage);
    const retries = openRetries({
      file: join(stateDir, "retry.sqlite"),
      deliver: (to, path, args, carry) => call(to.cage, path, args, carry.retry ? { retry: carry.retry } : {}),
    });
    const services: Services = {
      node: "test",
      cage,
      call: (to, path, args) => call(to.cage, path, args, {}),
      retry: (to, options, path, args) => retries.retry(to, options, path, args),
    };
    const resources = new Map<string, Resource<unknown>>();
    for (const { name, protocol, options } of plan.resources)
      resources.set(name, withRelays(await protocol.open(options, { name, cage, stateDir }), retries));
    const lease: Lease = {
      id: 1,
      module: (name) => modules?.[name],
      resource: (name) => resources.get(name)?.client,
      config: plan.settings,
      again: () => lease,
      release: () => {},
    };
    const swaps: (() => void)[] = [];
    const interfaces: Interface[] = [];
    for (const { name, protocol, options } of plan.interfaces) {
      const host = new Host({
        name,
        cage,
        services,
        timeoutMs: 10_000,
        running: 100,
        waiting: 100,
        lease: () => lease,
        listen: () => Promise.reject(new Error("no sockets here")),
        onSwap: (listener) => {
          swaps.push(listener);
          return () => {};
        },
      });
      const made = protocol.create(options, host);
      await made.start();
      interfaces.push(made);
    }
    await retries.start();
    opened.set(cage, {
      lease,
      services,
      retries,
      async close() {
        await Promise.all(interfaces.map((each) => each.drain()));
        await Promise.all([...resources.values()].map((each) => each.close()));
        await retries.stop(1_000);
      },
    });
    for (const swapped of swaps) swapped();
  }

  return {
    dir,
    run: (cage, fn, options = {}) => request(cage, "test", fn, options),
    down: (cage) => void away.add(cage),
    up(cage) {
      away.delete(cage);
      for (const { retries } of opened.values()) retries.wake(cage);
    },
    async close() {
      for (const cage of opened.values()) await cage.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function without(config: CageConfig, modules: CageParts["modules"]): CageConfig {
  const kept = Object.entries(config.interfaces ?? {}).filter(([name]) => modules && name in modules);
  return { ...config, interfaces: Object.fromEntries(kept) };
}
