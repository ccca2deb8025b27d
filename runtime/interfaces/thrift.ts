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
 * What a handler throws: lib/thrift/server.ts has the table. Nothing that is the operator's to know goes out.
 */
import { createServer, type Server, type Socket } from "node:net";
import { z } from "../../lib/schema.ts";
import { limits } from "../../lib/thrift/limits.ts";
import { type Plan, type Plans, plansOf } from "../../lib/thrift/plan.ts";
import { type Schema, schemaOf } from "../../lib/thrift/schema.ts";
import { type ServerSession, serveConnection, type Told } from "../../lib/thrift/server.ts";
import { CageError, type Code, codes, told } from "../errors.ts";
import { events } from "../health/events.ts";
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
});

export type ThriftOptions = z.output<typeof options>;

type Services = Readonly<Record<string, Readonly<Record<string, (...args: unknown[]) => unknown>>>>;

/** Texts parsed before; a reload that leaves the IDL alone costs nothing. Few are alive at once: generations overlap. */
const parsed = new Map<string, Schema>();
const maxParsed = 16;

function schemaFor(module: Handler): Schema {
  const text = module["idl"];
  if (typeof text !== "string")
    throw new CageError(
      "LOAD",
      `the module of a thrift interface exports its IDL: export const idl = "..." or an imported .thrift`,
    );
  const includes = (module["includes"] ?? {}) as Readonly<Record<string, unknown>>;
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

/** A module of a generation never changes, so neither does what is derived from it. */
const derived = new WeakMap<Handler, Plans>();

function plansFor(module: Handler): Plans {
  let plans = derived.get(module);
  if (plans === undefined) {
    const schema = schemaFor(module);
    const services = servicesOf(module);
    plans = plansOf(schema, (name) => Object.hasOwn(services, name));
    derived.set(module, plans);
  }
  return plans;
}

function servicesOf(module: Handler): Services {
  const services = module["services"];
  if (typeof services !== "object" || services === null)
    throw new CageError(
      "LOAD",
      "the module of a thrift interface exports `services`: { SERVICE: { method: (...args) => answer } }",
    );
  return services as Services;
}

function validate(module: Handler): void {
  let plans: Plans;
  try {
    plans = plansFor(module);
  } catch (error) {
    throw error instanceof CageError ? error : new CageError("LOAD", (error as Error).message, { cause: error });
  }
  const services = servicesOf(module);
  for (const [name, handlers] of Object.entries(services)) {
    const methods = plans.services.get(name);
    if (methods === undefined)
      throw new CageError(
        "LOAD",
        `services.${name}: the IDL has no service ${name}; it has ${[...schemaFor(module).services.keys()].join(", ")}`,
      );
    for (const method of methods.keys())
      if (typeof handlers[method] !== "function")
        throw new CageError("LOAD", `services.${name}.${method} is missing; the IDL promises it`);
  }
}

/** told(), and whether its sentence is the error's own. */
function toldOf(error: unknown): Told {
  const outside = told(error);
  const open = outside.code in codes ? codes[outside.code as Code].public : true;
  return { code: outside.code, message: outside.message, open };
}

class ThriftInterface implements Interface {
  readonly #options: ThriftOptions;
  readonly #host: InterfaceHost;
  readonly #server: Server;
  readonly #sessions = new Set<ServerSession>();
  #port: number | undefined;

  constructor(chosen: ThriftOptions, host: InterfaceHost) {
    this.#options = chosen;
    this.#host = host;
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
    const { maxMessageBytes, maxPipelined } = this.#options;
    const from = socket.remoteAddress ?? "";
    const session = serveConnection(socket, {
      limits: { ...limits, messageBytes: maxMessageBytes, pipelined: maxPipelined },
      find: (name) => {
        const module = this.#host.peek();
        return module && plansFor(module).find(name);
      },
      invoke: (plan, args) => this.#invoke(plan, args, from),
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

  #invoke(plan: Plan, args: readonly unknown[], from: string): Promise<unknown> {
    return this.#host.serve({ label: plan.label, from, timeoutMs: this.#options.timeoutMs }, (module) => {
      const handlers = servicesOf(module)[plan.service];
      const handler = handlers?.[plan.method.name];
      if (handlers === undefined || typeof handler !== "function")
        throw new CageError("NO_SUCH_FUNCTION", `services.${plan.label} is not exported by ${this.#host.name}.ts`);
      return handler.apply(handlers, [...args]);
    });
  }
}

export const thrift: InterfaceProtocol<ThriftOptions> = {
  protocol: "thrift",
  options: options as unknown as z.ZodType<ThriftOptions>,
  create: (chosen, host) => new ThriftInterface(chosen, host),
  validate,
};
