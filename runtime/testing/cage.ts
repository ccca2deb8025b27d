/**
 * A cage under test, in this process: the real one, with its real modules and resources, in a temporary folder.
 *
 *     const shop = await testCage("shop", { config: { settings: { currency: "EUR" } }, cages: { billing: fakeApi } });
 *     await shop.call("orders.place", { sku: "tea", cents: 5 });       // as another cage would
 *     await shop.run(() => place({ sku: "tea", cents: 5 }));           // code in a request of this cage
 *     const answer = await shop.fetch("web", "/orders/1");             // its http interface, by a socket nobody else has
 *     const beside = await testCage("billing", { beside: shop });      // two real ones that can call each other
 *     await shop.close();
 *
 * State, journal and secrets are the test's and are removed at the end. No interface opens by itself and none has a port;
 * those named in `interfaces` run (an outbox delivers), http answers `fetch`. Files are not watched: `shop.reload()`. A
 * resource that reaches out (http, thrift) reaches what the configuration says: say another address in tests, or give a
 * client of your own in `resources`.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Cage } from "../cage/cage.ts";
import type { CageConfig, Plan } from "../cage/config.ts";
import { type Paths, pathsOf } from "../cage/paths.ts";
import { keepSecretsIn } from "../cage/secret.ts";
import type { Trial } from "../cage/trial.ts";
import { CageError } from "../errors.ts";
import * as runtime from "../index.ts";
import type { ReloadResult } from "../modules/loader.ts";
import { Request, run, within } from "../request/request.ts";
import type { Api } from "../rpc/api.ts";
import { type Asked, fetchFrom, listenFor, socketFor } from "./fetch.ts";
import { World } from "./world.ts";

export interface TestOptions {
  /** Over everything else that configures it, the environment included. */
  readonly config?: CageConfig;
  /** Who answers its calls to other cages: an api as an object. */
  readonly cages?: Readonly<Record<string, Api>>;
  /** What stands for a resource: an object in place of its client. */
  readonly resources?: Readonly<Record<string, unknown>>;
  /** Interfaces that run from the start: an outbox, for one. */
  readonly interfaces?: readonly string[];
  /** Be in the same world as that one: each answers the other's calls, and its `cages` answer both. */
  readonly beside?: TestCage;
  /** The project's folder; without it, the nearest one upwards that has cages/. */
  readonly root?: string;
}

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly label?: string;
  /** As if this were an attempt of a retried call. */
  readonly retry?: { readonly id: string; readonly attempt: number };
  readonly principal?: unknown;
}

export interface TestCage {
  readonly name: string;
  /** Where its resources keep their files. */
  readonly stateDir: string;
  /** A function of its api, as another cage calls it. */
  call(path: string, ...args: unknown[]): Promise<unknown>;
  /** Runs `fn` in a request of the cage, on its current generation. */
  run<T>(fn: () => T | Promise<T>, options?: RunOptions): Promise<T>;
  /** The loaded instance of NAME.ts: `shop.module<typeof import("./orders.ts")>("orders")`. */
  module<M extends object = Api>(name: string): M;
  /** Asks one of its http interfaces. */
  fetch(name: string, path: string, asked?: Asked): Promise<Response>;
  /** Loads what changed on disk. */
  reload(): Promise<ReloadResult>;
  /** Calls to it fail with UNAVAILABLE, until it is up. */
  down(): void;
  up(): Promise<void>;
  close(): Promise<void>;
}

/** What the process of ./cage test knows better than a search. */
interface Ground {
  readonly root: string;
  readonly home: string;
}
let ground: Ground | undefined;
export function testOn(given: Ground): void {
  ground = given;
}

const worlds = new WeakMap<TestCage, World>();
const timeoutMs = 10_000;

export async function testCage(name: string, options: TestOptions = {}): Promise<TestCage> {
  return (await openTestCage(name, options, {})).test;
}

/** As testCage, with the cage itself, for those who run its tests. */
export async function openTestCage(
  name: string,
  options: TestOptions,
  own: { externals?: Readonly<Record<string, object>>; tests?: () => Promise<readonly string[]> },
): Promise<{ test: TestCage; cage: Cage }> {
  const root = resolve(options.root ?? ground?.root ?? projectAbove(process.cwd()));
  const home = ground?.home ?? homeOfThis();
  const world = (options.beside && worlds.get(options.beside)) ?? new World();
  world.enter();
  for (const [each, api] of Object.entries(options.cages ?? {})) world.answer(each, api);
  const paths: Paths = {
    ...pathsOf(home, root),
    state: world.folder,
    logs: join(world.folder, "logs"),
    run: join(world.folder, "run"),
  };
  const overlay = join(paths.config, `${name}.test.ts`);
  const trial: Trial = {
    engine: world.join(name),
    externals: own.externals ?? {},
    more: async () => [...(existsSync(overlay) ? [overlay] : []), ...((await own.tests?.()) ?? [])],
    over(candidate) {
      const stated = (candidate.moduleOf(overlay) ?? {}) as TestOptions;
      for (const [each, api] of Object.entries(stated.cages ?? {}))
        if (options.cages?.[each] === undefined) world.answer(each, api);
      return {
        config: [stated.config, options.config],
        interfaces: options.interfaces ?? stated.interfaces ?? [],
        resources: { ...stated.resources, ...options.resources },
      };
    },
    admit: (plan) => refuseRealFiles(plan, name),
  };
  let cage: Cage | undefined;
  const leave = async () => {
    await cage?.stop();
    cage?.metrics.stop();
    world.leave();
  };
  try {
    await mkdir(paths.run, { recursive: true, mode: 0o700 });
    cage = new Cage({
      paths,
      name,
      node: "test",
      watch: false,
      again: false,
      link: {
        listen: listenFor(paths.run),
        release() {},
        ready() {},
        failed() {},
        say() {},
        serving() {},
        cannot() {},
        propose: async () => undefined,
        ahead: async () => {},
      },
      door: runtime,
      trial,
    });
    keepSecretsIn(world.ground);
    await cage.start();
    await cage.announce();
  } catch (error) {
    await leave();
    throw error;
  }
  const test = over(cage, world, paths, leave);
  worlds.set(test, world);
  return { test, cage };
}

function over(cage: Cage, world: World, paths: Paths, leave: () => Promise<void>): TestCage {
  const { name } = cage;
  const test: TestCage = {
    name,
    stateDir: join(paths.state, name),
    async run(fn, { label = "test", ...more } = {}) {
      const request = new Request({
        services: cage.services,
        lease: cage.lease(),
        interface: "test",
        label,
        timeoutMs,
        ...more,
      });
      try {
        return await run(request, () => within(request, label, Promise.resolve().then(fn)));
      } finally {
        request.end();
      }
    },
    call: (path, ...args) => test.run(() => cage.services.call({ cage: name }, path, args)),
    module<M extends object>(wanted: string): M {
      const module = cage.loader.current.module(wanted);
      if (module !== undefined) return module as M;
      throw new CageError(
        "NOT_FOUND",
        `the cage ${name} has no module '${wanted}'; it has ${cage.loader.current.names.join(", ")}`,
      );
    },
    async fetch(wanted, path, asked = {}) {
      const { plan } = await cage.openInterface(wanted);
      return await fetchFrom(socketFor(paths.run, plan.options), path, asked);
    },
    reload: () => cage.loader.reload("command"),
    down: () => world.down(name),
    async up() {
      world.up(name);
      await cage.announce();
    },
    close: leave,
  };
  return test;
}

/** A test must never write where the service keeps its data. */
function refuseRealFiles(plan: Plan, cage: string): void {
  for (const { name, options } of plan.resources) {
    const { file } = options as { file?: unknown };
    if (typeof file === "string" && isAbsolute(file))
      throw new CageError(
        "CONFIG",
        `resources.${name}.file is ${file}, which a test would write to; name another one in config/${cage}.test.ts`,
      );
  }
}

function projectAbove(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "cages"))) return folder;
    if (dirname(folder) === folder)
      throw new CageError("CONFIG", `no folder cages/ in ${start} or above it; give testCage a root`);
  }
}

const homeOfThis = (): string => dirname(dirname(dirname(fileURLToPath(import.meta.url))));
