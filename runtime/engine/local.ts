/**
 * The engine of one host: unix sockets between processes, nothing to install. Contract: engine.ts.
 *
 * Each instance listens on a socket named by its cage (the supervisor holds it, so a call made while a worker restarts
 * waits in the kernel instead of failing). A session to another cage is dialled on first use and kept. Who runs is a
 * directory: each supervisor keeps one small file beside its socket. `kv` is one lossy SQLite file for all processes.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { pack, unpack } from "../../lib/pack.ts";
import { type Database, openDatabase, sql } from "../../lib/sqlite.ts";
import { CageError } from "../errors.ts";
import { outside, type Target } from "../request/request.ts";
import type { KeyOf } from "../rpc/hello.ts";
import { type Handlers, Session } from "../rpc/session.ts";
import type { Carry, Engine, Instance, Serve, Stop } from "./engine.ts";

export interface LocalOptions {
  readonly me: Instance;
  /** Where the sockets and the registry are. */
  readonly runDir: string;
  readonly stateDir: string;
  socketOf(cage: string): string;
  /** Keys that prove who is who; one's own among them. */
  readonly keyOf: KeyOf;
  /** Makes the server accept on a unix socket; absent for a client that serves nothing (the CLI). */
  listen?(server: Server, path: string): Promise<void>;
}

export class LocalEngine implements Engine {
  readonly #options: LocalOptions;
  readonly #dialled = new Map<string, Promise<Session>>();
  /** Those that came to be, for a quick look. */
  readonly #greeted = new Map<string, Session>();
  readonly #accepted = new Set<Session>();
  /** Connected, or not even that, and not greeted yet: a hung cage must not hold up who stops waiting for it. */
  readonly #dialling = new Set<Socket>();
  readonly #subscriptions = new Map<string, Set<(data: unknown, from: Instance) => void>>();
  #server: Server | undefined;
  #serve: Serve = async () => {
    throw new CageError("UNAVAILABLE", "this process serves no calls");
  };
  #memory: Memory | undefined;

  constructor(options: LocalOptions) {
    this.#options = options;
  }

  async start(serve: Serve): Promise<void> {
    this.#serve = serve;
    if (this.#options.listen === undefined) return;
    this.#server = createServer((socket) => {
      const session = new Session(
        socket,
        { me: this.#options.me, side: "accepted", keyOf: this.#options.keyOf },
        this.#handlers,
      );
      this.#accepted.add(session);
      session.onEnd = () => this.#accepted.delete(session);
    });
    await this.#options.listen(this.#server, this.#options.socketOf(this.#options.me.cage));
  }

  async discover(cage?: string): Promise<readonly Instance[]> {
    const found: Instance[] = [];
    for (const name of readdirSync(this.#options.runDir)) {
      if (!name.endsWith(".json")) continue;
      try {
        const row = JSON.parse(readFileSync(join(this.#options.runDir, name), "utf8")) as Instance & {
          pid: number;
          ready: boolean;
        };
        if (row.ready && (cage === undefined || row.cage === cage) && alive(row.pid))
          found.push({ node: row.node, cage: row.cage });
      } catch {
        // Being written or removed this moment: it is not there yet, or not any more.
      }
    }
    return found;
  }

  /** Without a promise of its own: each costs a tenth of a call. */
  call(to: Target, path: string, args: readonly unknown[], carry: Carry, stop?: Stop): Promise<unknown> {
    const { cage, node } = to;
    if (node !== undefined && node !== this.#options.me.node)
      return Promise.reject(
        new CageError("NO_SUCH_CAGE", `${cage} on node ${node}: the local engine joins one node only`),
      );
    const session = this.#open(cage);
    if (session !== undefined) return session.call(path, args, carry, stop);
    return unless(stop, this.#session(cage)).then((greeted) => greeted.call(path, args, carry, stop));
  }

  async publish(subject: string, data: unknown): Promise<void> {
    this.#deliver(this.#options.me, subject, data);
    const others = (await this.discover()).filter((instance) => instance.cage !== this.#options.me.cage);
    // At most once: an instance that cannot be reached now is not told, and one that hangs holds up no other.
    await Promise.all(
      others.map((instance) =>
        this.#session(instance.cage).then(
          (session) => session.publish(subject, data),
          () => {},
        ),
      ),
    );
  }

  subscribe(subject: string, listener: (data: unknown, from: Instance) => void): () => void {
    const row = this.#subscriptions.get(subject) ?? new Set();
    this.#subscriptions.set(subject, row);
    row.add(listener);
    return () => void row.delete(listener);
  }

  get kv(): Memory {
    this.#memory ??= new Memory(join(this.#options.stateDir, "memory.sqlite"));
    return this.#memory;
  }

  async drain(): Promise<void> {
    this.#server?.close();
    await Promise.all([...this.#accepted].map((session) => session.drain()));
  }

  async stop(): Promise<void> {
    this.#server?.close();
    for (const session of this.#accepted) session.close();
    for (const socket of this.#dialling) socket.destroy(new Error("this engine stopped"));
    for (const dialled of this.#dialled.values())
      await dialled.then(
        (session) => session.close(),
        () => {},
      );
    this.#memory?.close();
  }

  readonly #handlers: Handlers = {
    serve: (from, path, args, carry, stop, send) => this.#serve(from, path, args, carry, stop, send),
    event: (from, subject, data) => this.#deliver(from, subject, data),
  };

  #deliver(from: Instance, subject: string, data: unknown): void {
    for (const [pattern, row] of this.#subscriptions) {
      if (pattern !== subject && !(pattern.endsWith(".*") && subject.startsWith(pattern.slice(0, -1)))) continue;
      for (const listener of row) listener(data, from);
    }
  }

  /** The session that is there, if it takes calls: nearly always, and then a call waits for nothing. */
  #open(cage: string): Session | undefined {
    const session = this.#greeted.get(cage);
    return session !== undefined && !session.ended && !session.leaving ? session : undefined;
  }

  async #session(cage: string): Promise<Session> {
    const known = this.#dialled.get(cage);
    if (known !== undefined) {
      const session = await known.catch(() => undefined);
      if (session !== undefined && !session.ended && !session.leaving) return session;
      if (this.#dialled.get(cage) === known) this.#dialled.delete(cage);
    }
    const again = this.#dialled.get(cage);
    if (again !== undefined) return await again;
    // Outside the request that happens to be first: the socket lives on and would pin it.
    const dialled = outside(() => this.#dial(cage));
    this.#dialled.set(cage, dialled);
    dialled.catch(() => {
      if (this.#dialled.get(cage) === dialled) this.#dialled.delete(cage);
    });
    return await dialled;
  }

  async #dial(cage: string): Promise<Session> {
    const socket = connect(this.#options.socketOf(cage));
    this.#dialling.add(socket);
    try {
      return await this.#greet(socket, cage);
    } finally {
      this.#dialling.delete(socket);
    }
  }

  async #greet(socket: Socket, cage: string): Promise<Session> {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (cause: NodeJS.ErrnoException) =>
        reject(
          cause.code === "ENOENT" || cause.code === "ECONNREFUSED"
            ? new CageError(
                "NO_SUCH_CAGE",
                `cage ${cage} does not run on this node; start it with ./cage start ${cage}`,
                { cause },
              )
            : new CageError("UNAVAILABLE", `cage ${cage} cannot be reached`, { cause }),
        ),
      );
    });
    socket.removeAllListeners("error");
    const { me, keyOf } = this.#options;
    const session = new Session(socket, { me, side: "dialled", expect: cage, keyOf }, this.#handlers);
    await session.ready;
    this.#greeted.set(cage, session);
    session.onEnd = () => {
      if (this.#greeted.get(cage) === session) this.#greeted.delete(cage);
    };
    return session;
  }
}

/** What `work` answers, or why its waiter stopped as soon as it does; `work` goes on for others. */
function unless<T>(stop: Stop | undefined, work: Promise<T>): Promise<T> {
  if (stop === undefined) return work;
  return new Promise((resolve, reject) => {
    const forget = stop.onStop(reject);
    work.then(resolve, reject).finally(forget);
  });
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Lossy key-value memory: one SQLite file, not synced. Values up to 1 MiB: it is read and written on the event loop. */
class Memory {
  readonly #db: Database;

  constructor(file: string) {
    mkdirSync(join(file, ".."), { recursive: true });
    this.#db = openDatabase(file, { durability: "normal" });
    this.#db.exec(
      "create table if not exists memory (key text primary key, value blob not null, revision integer not null, expires real) strict, without rowid",
    );
  }

  async read(key: string): Promise<{ value: unknown; revision: number } | undefined> {
    const row = this.#db.one<{ value: Uint8Array; revision: number; expires: number | null }>(
      sql`select value, revision, expires from memory where key = ${key}`,
    );
    if (row === undefined || (row.expires !== null && row.expires <= Date.now())) return undefined;
    return { value: unpack(row.value), revision: row.revision };
  }

  async write(key: string, value: unknown, options: { ttlMs?: number } = {}): Promise<number> {
    const bytes = this.#sized(key, value);
    const expires = options.ttlMs === undefined ? null : Date.now() + options.ttlMs;
    const row = this.#db.one<{
      revision: number;
    }>(sql`insert into memory (key, value, revision, expires) values (${key}, ${bytes}, 1, ${expires})
      on conflict (key) do update set value = excluded.value, revision = revision + 1, expires = excluded.expires returning revision`);
    return row?.revision ?? 0;
  }

  async cas(key: string, value: unknown, revision: number): Promise<boolean> {
    const bytes = this.#sized(key, value);
    if (revision === 0) {
      this.#db.run(sql`delete from memory where key = ${key} and expires <= ${Date.now()}`);
      return (
        this.#db.run(sql`insert or ignore into memory (key, value, revision) values (${key}, ${bytes}, 1)`).changes ===
        1
      );
    }
    return (
      this.#db.run(
        sql`update memory set value = ${bytes}, revision = revision + 1 where key = ${key} and revision = ${revision}`,
      ).changes === 1
    );
  }

  async remove(key: string): Promise<void> {
    this.#db.run(sql`delete from memory where key = ${key}`);
  }

  close(): void {
    this.#db.close();
  }

  #sized(key: string, value: unknown): Uint8Array {
    const bytes = pack(value);
    if (bytes.length > 1024 * 1024)
      throw new CageError("TOO_LARGE", `the value of ${key} is ${bytes.length} bytes; memory takes up to 1 MiB`);
    return bytes;
  }
}
