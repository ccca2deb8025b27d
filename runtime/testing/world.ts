/**
 * The world of cages under test: who they can call, and the folder that their state is in. Calls cross it through the
 * wire's packer, so what does not survive a process border does not survive here; there are no sockets, and nothing of it
 * is reachable from outside.
 *
 *     const world = new World();
 *     const engine = world.join("shop");                 // what a cage is given for an engine
 *     world.answer("billing", { holds: { create: () => 1 } });      // an api that stands for a cage
 *     world.down("shop");                                // calls to it fail with UNAVAILABLE
 *     world.leave();                                     // the last one out removes the folder
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack, unpack } from "../../lib/pack.ts";
import type { Answered, Carry, Engine, Instance, Serve, Stop } from "../engine/engine.ts";
import { CageError, coded } from "../errors.ts";
import { Background } from "../request/background.ts";
import { Request, run, type Services } from "../request/request.ts";
import { type Api, invoke } from "../rpc/api.ts";
import { flat, revived } from "../rpc/error.ts";
import { isStream, pipe } from "../rpc/stream.ts";
import { Work } from "../rpc/work.ts";

const node = "test";
const wire = <T>(value: T): T => unpack(pack(value, "what crosses")) as T;

/** Of all worlds in this process: a secret has one value in a process, so it needs one place. */
let ground: { readonly folder: string; worlds: number; made: number } | undefined;

export class World {
  readonly ground: string;
  readonly folder: string;
  readonly #serving = new Map<string, Serve>();
  readonly #away = new Set<string>();
  readonly #listeners = new Set<{ subject: string; tell(data: unknown, from: Instance): void }>();
  readonly #memory = new Map<string, { value: unknown; revision: number; until: number }>();
  #revision = 0;
  #cages = 0;

  constructor() {
    ground ??= { folder: mkdtempSync(join(tmpdir(), "cage-test-")), worlds: 0, made: 0 };
    ground.worlds++;
    this.ground = ground.folder;
    this.folder = join(ground.folder, `${++ground.made}`);
  }

  enter(): void {
    this.#cages++;
  }

  leave(): void {
    if (--this.#cages > 0 || ground === undefined) return;
    const last = --ground.worlds === 0;
    rmSync(last ? ground.folder : this.folder, { recursive: true, force: true });
    if (last) ground = undefined;
  }

  /** An api that stands for a cage. Its functions run in a request, as in a cage, that has no resources. */
  answer(cage: string, api: Api): void {
    const services = { node, cage, background: new Background() } as Services;
    this.#serving.set(cage, async (_, path, args, { remainingMs, trace, logLevel, retry }, __, send) => {
      const lease = () => ({
        id: 1,
        module: () => undefined,
        resource: () => undefined,
        config: {},
        again: lease,
        release() {},
      });
      const request = new Request({
        services,
        lease: lease(),
        interface: "rpc",
        label: path,
        timeoutMs: remainingMs,
        trace,
        logLevel,
        ...(retry ? { retry } : {}),
      });
      try {
        return await run(request, async () => {
          const answer = await invoke(api, path, args);
          return isStream(answer) ? await send(answer) : answer;
        });
      } finally {
        request.end();
      }
    });
  }

  down(cage: string): void {
    this.#away.add(cage);
  }

  up(cage: string): void {
    this.#away.delete(cage);
  }

  join(cage: string): Engine {
    const me: Instance = { node, cage };
    return {
      start: async (serve) => void this.#serving.set(cage, serve),
      discover: async (name) =>
        [...this.#serving.keys()]
          .filter((each) => !this.#away.has(each) && (name === undefined || name === each))
          .map((each) => ({ node, cage: each })),
      call: async (to, path, args, carry, stop) => {
        const answer = this.#call(me, to.cage, path, args, carry, stop);
        if (to.via === undefined) return await answer;
        // There is one of each.
        return await answer.then(
          (value): Answered<unknown>[] => [{ node, process: 1, ok: true, value }],
          (error: unknown): Answered<unknown>[] => [{ node, process: 1, ok: false, error: coded(error) }],
        );
      },
      revive() {},
      // There is nobody outside.
      adopt: () => () => {},
      dial: async (address) => ({ status: { address, open: false, why: "a test dials nobody" }, async close() {} }),
      publish: async (subject, data) => {
        for (const { subject: wanted, tell } of this.#listeners) if (matches(wanted, subject)) tell(wire(data), me);
      },
      subscribe: (subject, tell) => {
        const listener = { subject, tell };
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
      kv: {
        read: async (key) => this.#read(key),
        write: async (key, value, { ttlMs } = {}) => this.#write(key, value, ttlMs),
        cas: async (key, value, revision) => {
          if ((this.#read(key)?.revision ?? 0) !== revision) return false;
          this.#write(key, value);
          return true;
        },
        remove: async (key) => void this.#memory.delete(key),
      },
      drain: async () => void this.#serving.delete(cage),
      stop: async () => void this.#serving.delete(cage),
    };
  }

  async #call(
    from: Instance,
    cage: string,
    path: string,
    args: readonly unknown[],
    carry: Carry,
    stop: Stop = new Work(),
  ): Promise<unknown> {
    if (this.#away.has(cage)) throw new CageError("UNAVAILABLE", `${cage} is down, as the test wants it`);
    const serve = this.#serving.get(cage);
    if (serve === undefined)
      throw new CageError(
        "NO_SUCH_CAGE",
        `nobody answers for the cage ${cage} in this test; name one in \`cages\` (testCage, or config/${from.cage}.test.ts)`,
      );
    return await new Promise((resolve, reject) => {
      let ended: ((failure?: { error: unknown }) => void) | undefined;
      const send = async (items: AsyncIterable<unknown>) => {
        const { out, taking } = pipe(sized);
        stop.onStop((why) => {
          out.stop();
          taking.fail(why);
        });
        ended = (failure) => taking.end(failure);
        resolve(taking);
        await out.pump(items);
      };
      const fail = (error: unknown) => (ended === undefined ? reject(error) : ended({ error }));
      stop.onStop(fail);
      const given = args.map((arg) => (isStream(arg) ? crossing(arg) : wire(arg)));
      const work = new Work();
      stop.onStop((why) => work.cancel(why));
      Promise.resolve()
        .then(() => serve(from, path, given, carry, work, send))
        .then(
          (answer) => (ended === undefined ? resolve(wire(answer)) : ended()),
          (thrown) => fail(revived(wire(flat(thrown)), cage)),
        )
        .catch(reject);
    });
  }

  #read(key: string): { value: unknown; revision: number } | undefined {
    const row = this.#memory.get(key);
    return row !== undefined && row.until > Date.now() ? { value: wire(row.value), revision: row.revision } : undefined;
  }

  #write(key: string, value: unknown, ttlMs = Number.POSITIVE_INFINITY): number {
    this.#memory.set(key, { value: wire(value), revision: ++this.#revision, until: Date.now() + ttlMs });
    return this.#revision;
  }
}

const sized = (given: unknown): { value: unknown; bytes: number } => {
  const bytes = pack(given);
  return { value: unpack(bytes), bytes: bytes.length };
};

async function* crossing(items: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  for await (const item of items) yield wire(item);
}

/** Dotted words; a last `*` matches the rest. */
const matches = (wanted: string, subject: string): boolean =>
  wanted.endsWith("*") ? subject.startsWith(wanted.slice(0, -1)) : wanted === subject;
