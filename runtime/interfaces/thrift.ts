/**
 * The thrift interface: calls from any language, over framed Thrift on TCP.
 *
 *     config/impact.ts     interfaces: { door: { protocol: "thrift", port: 9090 } }
 *     cages/impact/door.ts
 *         import planet from "./planet.thrift";
 *         export const idl = planet;
 *         export const services: ThriftHandlers<typeof planet> = { Forum: { thread: async (session, id) => ... } };
 *
 * Each call is one request, labelled "Forum.thread", its arguments positional. "Forum:thread" names a service; "thread"
 * alone reaches the only service that has it. The IDL belongs to the generation: it is parsed before the swap, and a
 * wrong one (or a service with a method missing) refuses the reload. A call ends with the schema it began with.
 *
 * Or by configuration alone: `idl` beside the port, and `answers: { "Forum.thread": "threads.read(session, id)" }`. The
 * fields are the arguments' names in the IDL. An IDL and handlers of the module's own come first.
 *
 *     trusted: ["10.0.0.0/8"]     whose deadline and log level are believed (request/carried.ts has the headers' names)
 *
 * Framed calls and those of the header transport are told apart by their first bytes. Of the latter the trace goes on, a
 * trusted peer's deadline shortens `timeoutMs` (never more), and OVERLOADED says when to ask again.
 *
 * A client that closes its connection cancels what it asked. What a handler throws: lib/thrift/server.ts has the table. Nothing that is the operator's to know goes out.
 */
import { createServer, type Server, type Socket } from "node:net";
import { nearest } from "../../lib/nearest.ts";
import { z } from "../../lib/schema.ts";
import type { Headers } from "../../lib/thrift/header.ts";
import { limits } from "../../lib/thrift/limits.ts";
import { type Plan, type Plans, plansOf } from "../../lib/thrift/plan.ts";
import { type Schema, schemaOf } from "../../lib/thrift/schema.ts";
import { type ServerSession, serveConnection, type Told } from "../../lib/thrift/server.ts";
import { CageError, type Code, coded, codes, told } from "../errors.ts";
import { events } from "../health/events.ts";
import { type Carried, carriedIn, deadlineName, retryAfterBy } from "../request/carried.ts";
import { type Answer, type Answers, answerWith, checkFields } from "./answers.ts";
import { Client, leavesWith } from "./client.ts";
import { network, Peers, plain } from "./http/peers.ts";
import type { Handler, Interface, InterfaceHost, InterfaceProtocol } from "./interface.ts";

const options = z.strictObject({
  port: z.int().min(0).max(65535),
  host: z.string().default("127.0.0.1"),
  /** One file descriptor and some 30 kB each; more are closed as they come. */
  maxConnections: z.int().positive().default(1000),
  timeoutMs: z.int().positive().default(10_000),
  maxMessageBytes: z.int().positive().max(limits.messageBytes).default(limits.messageBytes),
  /** Calls of one connection that run at once; the rest wait unread. */
  maxPipelined: z.int().positive().default(limits.pipelined),
  /** From a message's first byte to its last: a slow-loris holds its place no longer. */
  frameTimeoutMs: z.int().positive().default(limits.frameTimeoutMs),
  /** Peers whose deadline and log level are believed, where their transport has headers. */
  trusted: z.array(network).default([]),
  /** How long, in ms, a trusted peer will wait. */
  deadlineHeader: z.string().min(1).default(deadlineName),
  /** The text of the IDL, where the module exports none: import it from its .thrift file. */
  idl: z
    .custom<string>((text) => typeof text === "string", "the text of an IDL; import it from its .thrift")
    .optional(),
  includes: z.record(z.string(), z.string()).default({}),
});

export type ThriftOptions = z.output<typeof options>;

type Services = Readonly<Record<string, Readonly<Record<string, (...args: unknown[]) => unknown>>>>;

/** Texts parsed before; a reload that leaves the IDL alone costs nothing. Few are alive at once: generations overlap. */
const parsed = new Map<string, Schema>();
const maxParsed = 16;

function schemaFor(module: Handler, chosen: ThriftOptions): Schema {
  const source: Handler = module["idl"] === undefined ? { ...chosen } : module;
  const text = source["idl"];
  if (typeof text !== "string")
    throw new CageError(
      "LOAD",
      `the module of a thrift interface exports its IDL: export const idl = "..." or an imported .thrift`,
    );
  const includes = (source["includes"] ?? {}) as Readonly<Record<string, unknown>>;
  const key = JSON.stringify([text, includes]);
  const known = parsed.get(key);
  if (known !== undefined) return known;
  const schema = schemaOf(text, {
    include: (path) => {
      const found = Object.hasOwn(includes, path) ? includes[path] : undefined;
      return typeof found === "string" ? { text: found, file: path } : undefined;
    },
  });
  parsed.set(key, schema);
  if (parsed.size > maxParsed) parsed.delete(parsed.keys().next().value as string);
  return schema;
}

/** Plans of the services that the module or the answers serve. */
function plansFor(module: Handler, chosen: ThriftOptions, answers: Answers): Plans {
  const schema = schemaFor(module, chosen);
  const services = servicesOf(module, answers);
  const answered = new Set([...answers.keys()].map((name) => name.slice(0, name.indexOf("."))));
  return plansOf(schema, (name) => Object.hasOwn(services, name) || answered.has(name));
}

function servicesOf(module: Handler, answers: Answers): Services {
  const services = module["services"] ?? (answers.size > 0 ? {} : undefined);
  if (typeof services !== "object" || services === null)
    throw new CageError(
      "LOAD",
      "the module of a thrift interface exports `services`: { SERVICE: { method: (...args) => answer } }",
    );
  return services as Services;
}

function handlerOf(services: Services, plan: Plan): ((...args: unknown[]) => unknown) | undefined {
  const handlers = Object.hasOwn(services, plan.service) ? services[plan.service] : undefined;
  const handler = handlers?.[plan.method.name];
  return typeof handler === "function" ? handler.bind(handlers) : undefined;
}

function validate(module: Handler, chosen: ThriftOptions, answers: Answers = new Map()): void {
  let plans: Plans;
  try {
    plans = plansFor(module, chosen, answers);
  } catch (error) {
    throw error instanceof CageError ? error : new CageError("LOAD", (error as Error).message, { cause: error });
  }
  for (const [name, answer] of answers) checkAnswered(plans, name, answer);
  for (const [name, handlers] of Object.entries(servicesOf(module, answers))) {
    const methods = plans.services.get(name);
    if (methods === undefined)
      throw new CageError(
        "LOAD",
        `services.${name}: the IDL has no service ${name}; it has ${[...schemaFor(module, chosen).services.keys()].join(", ")}`,
      );
    for (const method of methods.keys())
      if (typeof handlers[method] !== "function" && !answers.has(`${name}.${method}`))
        throw new CageError("LOAD", `services.${name}.${method} is missing; the IDL promises it`);
  }
}

/** Throws CONFIG at a name that is no method of the IDL, or an argument that the method has not. */
function checkAnswered(plans: Plans, name: string, answer: Answer): void {
  const all = [...plans.services.values()].flatMap((methods) => [...methods.values()]);
  const plan = all.find(({ label }) => label === name);
  if (plan !== undefined)
    return checkFields(
      answer,
      plan.method.args.map((field) => field.name),
    );
  const near = nearest(
    name,
    all.map(({ label }) => label),
  );
  throw new CageError(
    "CONFIG",
    `the IDL has no method '${name}'${near ? `; did you mean '${near}'?` : '; write "Service.method"'}`,
  );
}

/** told(), and whether its sentence is the error's own. */
function toldOf(error: unknown): Told {
  const outside = told(error);
  const open = outside.code in codes ? codes[outside.code as Code].public : true;
  const headers = retryAfterBy(coded(error).details);
  return { code: outside.code, message: outside.message, open, ...(headers && { headers }) };
}

class ThriftInterface implements Interface {
  readonly #options: ThriftOptions;
  readonly #host: InterfaceHost;
  readonly #server: Server;
  readonly #sessions = new Set<ServerSession>();
  readonly #peers: Peers;
  /** A module of a generation never changes, so neither does what is derived from it. */
  readonly #plans = new WeakMap<Handler, Plans>();
  #port: number | undefined;

  constructor(chosen: ThriftOptions, host: InterfaceHost) {
    this.#options = chosen;
    this.#host = host;
    this.#peers = new Peers(chosen.trusted);
    // Half open: a client that has said everything may still read its answers.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) =>
      this.#accept(socket),
    );
    this.#server.maxConnections = chosen.maxConnections;
  }

  get url(): string | undefined {
    return this.#port === undefined ? undefined : `thrift://${this.#options.host}:${this.#port}`;
  }

  async start(): Promise<void> {
    const { host, port } = this.#options;
    this.#port = (await this.#host.listen(this.#server, { host, port })).port;
  }

  async drain(): Promise<void> {
    this.#server.close();
    await Promise.all([...this.#sessions].map((session) => session.drain()));
  }

  async stop(): Promise<void> {
    this.#server.close();
    for (const session of this.#sessions) session.destroy();
    await Promise.all([...this.#sessions].map((session) => session.closed));
  }

  #accept(socket: Socket): void {
    const { maxMessageBytes, maxPipelined, frameTimeoutMs } = this.#options;
    const trusted = this.#peers.trusts(plain(socket.remoteAddress ?? ""));
    const client = new Client(this.#host, socket.remoteAddress);
    leavesWith(socket, client);
    const session = serveConnection(socket, {
      limits: { ...limits, messageBytes: maxMessageBytes, pipelined: maxPipelined, frameTimeoutMs },
      find: (name) => this.#find(name),
      invoke: (plan, args, headers) => this.#invoke(client, plan, args, this.#carried(headers, trusted)),
      told: toldOf,
      fault: (error, label) =>
        events.emit("log", {
          level: "warn",
          message: `${this.#host.name}: ${(error as Error).message}`,
          fields: { interface: this.#host.name, label, peer: socket.remoteAddress },
        }),
    });
    this.#sessions.add(session);
    void session.closed.then(() => this.#sessions.delete(session));
  }

  #find(name: string): Plan | undefined {
    const { answers } = this.#host;
    const module = this.#host.peek() ?? (answers.size > 0 ? noModule : undefined);
    if (module === undefined) return undefined;
    let plans = this.#plans.get(module);
    if (plans === undefined) this.#plans.set(module, (plans = plansFor(module, this.#options, answers)));
    const plan = plans.find(name);
    const served = plan && (answers.has(plan.label) || handlerOf(servicesOf(module, answers), plan) !== undefined);
    return served ? plan : undefined;
  }

  #carried(headers: Headers, trusted: boolean): Carried {
    if (headers.size === 0) return nothingCarried;
    return carriedIn(headers, { trusted, deadlineHeader: this.#options.deadlineHeader });
  }

  #invoke(client: Client, plan: Plan, args: readonly unknown[], carried: Carried): Promise<unknown> {
    const timeoutMs = Math.min(this.#options.timeoutMs, carried.timeoutMs ?? Number.POSITIVE_INFINITY);
    return client.serve({ ...carried, label: plan.label, timeoutMs }, (module, request) => {
      const { answers } = this.#host;
      const handler = handlerOf(servicesOf(module, answers), plan);
      if (handler !== undefined) return handler(...args);
      const answer = answers.get(plan.label);
      if (answer === undefined)
        throw new CageError("NO_SUCH_FUNCTION", `services.${plan.label} is not exported by ${this.#host.name}.ts`);
      const fields = Object.fromEntries(plan.method.args.map(({ name }, at) => [name, args[at]]));
      return answerWith(answer, fields, request);
    });
  }
}

const noModule: Handler = Object.freeze({});
const nothingCarried: Carried = Object.freeze({});

export const thrift: InterfaceProtocol<ThriftOptions> = {
  protocol: "thrift",
  options: options as unknown as z.ZodType<ThriftOptions>,
  create: (chosen, host) => new ThriftInterface(chosen, host),
  validate,
  checkName(name, answer, chosen) {
    // With an IDL of the module's own, validate looks.
    if (chosen.idl !== undefined) checkAnswered(plansOf(schemaFor({}, chosen)), name, answer);
  },
};
