/**
 * The connection to NATS, kept: the only file that knows its packages, which are loaded when the first one is made.
 *
 *     const client = new Client({ options, root, name, inbox, up: async () => ..., down: (why) => ... });
 *     client.subscribe("cage.here.*.*.*", (subject, data, reply) => ...);     // on this connection, and each later one
 *     await client.start();                                            // connected, or tried in vain once
 *     client.publish(subject, data);                                   // false: there is no connection
 *
 * The package's own reconnecting is not used: it keeps what is published meanwhile, without a bound, and sends it when
 * nobody waits for it any more. Here a lost connection is the end of it: `down` says so, what is published goes nowhere,
 * and a new one is tried for, without end, after a jittered pause. Why there is none is an event `problem`, once for each
 * reason. Files of TLS and credentials are read for each connection, so a renewed certificate needs no restart.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { KV } from "@nats-io/kv";
import type { ConnectionOptions, Msg, NatsConnection, Subscription, TlsOptions } from "@nats-io/transport-node";
import { CageError, coded, Unavailable } from "../../errors.ts";
import { events } from "../../health/events.ts";
import { outside } from "../../request/request.ts";
import type { NatsOptions } from "../options.ts";
import { Pause } from "../pause.ts";

export interface ClientOptions {
  readonly options: NatsOptions;
  /** Files of the configuration are named from here. */
  readonly root: string;
  /** As the server lists this connection. */
  readonly name: string;
  /** Under which answers to this node come. */
  readonly inbox: string;
  /** There is a connection, and all that was subscribed to is, on it. */
  up(): Promise<void>;
  /** There is none any more. */
  down(why: Unavailable): void;
  /** The server refused what was published to this subject. */
  denied(subject: string): void;
}

/** `gone`: nobody listens to the subject that was asked with this one for its reply. */
export type Listener = (subject: string, data: Uint8Array, gone: boolean) => void;

export interface BucketOptions {
  readonly name: string;
  readonly replicas: number;
  /** No value lives longer. */
  readonly ttlMs: number;
}

/** A server that is there answers in milliseconds; several are tried one after another. */
const connectMs = 2_000;
/** Two unanswered pings, and the connection is dead: known in 1.5 s, as a cut link between instances is. */
const pingMs = 500;
const longestPauseMs = 2_000;
export const requestMs = 2_000;
/** Of the two seconds in which a call fails when its own host is cut off: whoever finds nobody waits for this first. */
const flushMs = 1_000;

interface Wanted {
  readonly subject: string;
  readonly listener: Listener;
  open: Subscription | undefined;
}

export class Client {
  readonly #given: ClientOptions;
  readonly #wanted = new Set<Wanted>();
  readonly #pause = new Pause(longestPauseMs);
  #connection: NatsConnection | undefined;
  #why = new Unavailable("NATS is not reachable");
  #stopped = false;
  #reported = "";

  constructor(given: ClientOptions) {
    this.#given = given;
  }

  /** Resolves when the first attempt has ended, well or not; rejects with what `up` of it does. */
  start(): Promise<void> {
    // It lives on: whatever request is current must not be kept by it.
    return new Promise((done, failed) => outside(() => void this.#keep(done, failed)));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pause.end();
    const connection = this.#connection;
    if (connection === undefined) return;
    // What was said last has to leave.
    await this.flush().catch(() => {});
    await connection.close();
  }

  /** Undefined while there is a connection. */
  get down(): Unavailable | undefined {
    return this.#connection === undefined ? this.#why : undefined;
  }

  get maxPayload(): number {
    return this.#connection?.info?.max_payload ?? 1024 * 1024;
  }

  publish(subject: string, data: Uint8Array, reply?: string): boolean {
    if (this.#connection === undefined || this.#connection.isClosed()) return false;
    this.#connection.publish(subject, data, reply === undefined ? undefined : { reply });
    return true;
  }

  subscribe(subject: string, listener: Listener): () => void {
    const wanted: Wanted = { subject, listener, open: undefined };
    this.#wanted.add(wanted);
    if (this.#connection !== undefined) this.#listen(this.#connection, wanted);
    return () => {
      this.#wanted.delete(wanted);
      if (this.#connection?.isClosed() === false) wanted.open?.unsubscribe();
    };
  }

  /** All that was sent is with the server, and all that it had for us then is here. */
  async flush(): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) throw this.#why;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Unavailable(`NATS did not answer within ${flushMs} ms`)), flushMs).unref();
    });
    try {
      await Promise.race([connection.flush(), late]);
    } catch (cause) {
      throw cause instanceof CageError ? cause : this.#lost(cause);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A bucket of JetStream's, made when it is not there. */
  async bucket({ name, replicas, ttlMs }: BucketOptions): Promise<KV> {
    const connection = this.#connection;
    if (connection === undefined) throw this.#why;
    const [{ jetstream }, { Kvm }] = await Promise.all([import("@nats-io/jetstream"), import("@nats-io/kv")]);
    const buckets = new Kvm(jetstream(connection, { timeout: requestMs }));
    // Read from whoever leads: another copy may be behind, and memory is never wrong.
    return await buckets.create(name, { replicas, ttl: ttlMs, history: 1, allow_direct: false });
  }

  async #keep(done: () => void, failed: (error: unknown) => void): Promise<void> {
    while (!this.#stopped) {
      const startedAt = performance.now();
      try {
        const connection = await this.#connect();
        await this.#given.up().then(done, (error) => {
          failed(error);
          this.#report(error);
        });
        throw this.#lost(await connection.closed());
      } catch (error) {
        // To who wanted to call it is one thing: not now. Why is for the operator.
        const { code, message } = coded(error);
        this.#why = code === "UNAVAILABLE" ? (error as Unavailable) : new Unavailable(message, { cause: error });
        this.#connection = undefined;
        this.#given.down(this.#why);
        this.#report(error);
        done();
      }
      if (this.#pause.ended(startedAt)) this.#reported = "";
      if (!this.#stopped) await this.#pause.over();
    }
  }

  async #connect(): Promise<NatsConnection> {
    const { options, name, inbox } = this.#given;
    const { connect, credsAuthenticator } = await import("@nats-io/transport-node");
    const { user, password, token, credentials, tls } = options;
    const read = (from: string | { reveal(): string }) => (typeof from === "string" ? this.#file(from) : from.reveal());
    const said: ConnectionOptions = {
      servers: [...options.servers],
      name,
      inboxPrefix: inbox,
      reconnect: false,
      timeout: connectMs,
      pingInterval: pingMs,
      maxPingOut: 2,
      noAsyncTraces: true,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { pass: password.reveal() }),
      ...(token === undefined ? {} : { token: token.reveal() }),
      ...(credentials === undefined ? {} : { authenticator: credsAuthenticator(Buffer.from(read(credentials))) }),
    };
    if (tls !== undefined) {
      const { ca, cert, key } = tls;
      const files: TlsOptions = {};
      if (ca !== undefined) files.ca = this.#file(ca);
      if (cert !== undefined) files.cert = this.#file(cert);
      if (key !== undefined) files.key = read(key);
      said.tls = files;
    }
    let connection: NatsConnection;
    try {
      connection = await connect(said);
    } catch (cause) {
      throw this.#unreachable(cause);
    }
    if (this.#stopped) {
      await connection.close();
      throw new Unavailable("this side stopped");
    }
    this.#connection = connection;
    void this.#watch(connection);
    for (const wanted of this.#wanted) this.#listen(connection, wanted);
    return connection;
  }

  #file(path: string): string {
    const file = resolve(this.#given.root, path);
    try {
      return readFileSync(file, "utf8");
    } catch (cause) {
      throw new CageError("CONFIG", `${path}, which the configuration names at engine, cannot be read`, { cause });
    }
  }

  #listen(connection: NatsConnection, wanted: Wanted): void {
    const { subject, listener } = wanted;
    wanted.open = connection.subscribe(subject, {
      callback: (error: Error | null, message: Msg) => {
        if (error !== null) {
          const why = `the NATS server does not let this node listen to ${subject}; allow it for its user`;
          return this.#report(new CageError("FORBIDDEN", why, { cause: error }));
        }
        try {
          listener(message.subject, message.data, message.headers?.code === 503);
        } catch (thrown) {
          // Thrown into the package it would end the connection of everybody.
          events.emit("problem", { what: `a message on ${subject}`, error: thrown });
        }
      },
    });
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type !== "error") continue;
      const { operation, subject } = status.error as { operation?: string; subject?: string };
      if (operation === "publish" && subject !== undefined) {
        this.#given.denied(subject);
        const why = `the NATS server does not let this node send to ${subject}; allow it for its user`;
        this.#report(new CageError("FORBIDDEN", why, { cause: status.error }));
      }
    }
  }

  #lost(cause: unknown): Unavailable {
    return new Unavailable(`NATS is not reachable: the connection was lost; it is tried again and again`, { cause });
  }

  /** Never with what was sent to prove who we are. */
  #unreachable(cause: unknown): CageError {
    const { servers, tls } = this.#given.options;
    const { name, message } = cause as Error;
    const at = servers.join(", ");
    if (name === "AuthorizationError" || name === "UserAuthenticationExpiredError")
      return new CageError(
        "UNAUTHORIZED",
        `NATS is not reachable: the server at ${at} refuses who this node says it is; look at user and password, token or credentials of engine in config/cluster.ts`,
        { cause },
      );
    const hint = tls === undefined && /tls|secure/i.test(message) ? "; give engine its tls in config/cluster.ts" : "";
    return new Unavailable(`NATS is not reachable at ${at} (${message}); is it running?${hint}`, { cause });
  }

  #report(thrown: unknown): void {
    const error = coded(thrown);
    if (this.#stopped || error.message === this.#reported) return;
    this.#reported = error.message;
    events.emit("problem", { what: "joining the other nodes (it is tried again and again)", error });
  }
}
