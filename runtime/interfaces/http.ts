/**
 * The http interface: HTTP/1.1 on node:http, routed by the handler module.
 *
 *     interfaces: { web: { protocol: "http", port: 8080 } }
 *
 *     // cages/shop/web.ts
 *     export const routes = { "GET /orders/:id": (ask) => find(ask.params.id), "POST /orders": place };
 *     export function failed(error, ask) { return reply({ status, body }) }      // optional: its own error answers
 *
 * A handler gets one `Ask` and answers with a value (sent as JSON), a string (text) or `reply({ status, headers, body })`.
 * What it throws becomes a code and a sentence with the code's status. HEAD, OPTIONS and 405 follow from the routes.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Server as NetServer, type Socket } from "node:net";
import { Readable } from "node:stream";
import findMyWay from "find-my-way";
import { z } from "../../lib/schema.ts";
import { CageError, told } from "../errors.ts";
import { type Request, type Trace, until } from "../request/request.ts";
import type { Handler, InterfaceHost, InterfaceProtocol } from "./interface.ts";

export interface Ask {
  readonly method: string;
  readonly url: URL;
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  /** The last value of each name. */
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON as its value, a form as a record of strings, other text as a string, other bytes as a Buffer. */
  readonly body: unknown;
  /** The peer's address. */
  readonly from: string;
}

export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** A string, bytes, a stream of either, or a value to be sent as JSON. */
  readonly body?: unknown;
}

export type Route = (ask: Ask) => unknown;
export type Routes = Readonly<Record<string, Route>>;

const brand = Symbol.for("cage.reply");

export const reply = (parts: Reply): Reply => ({ ...parts, [brand]: true }) as Reply;

const isReply = (value: unknown): value is Reply => typeof value === "object" && value !== null && brand in value;

const options = z.strictObject({
  port: z.int().min(0).max(65_535),
  host: z.string().default("127.0.0.1"),
  /** Larger bodies are refused before they are read: they are held in memory while the handler runs. */
  maxBodyBytes: z
    .int()
    .min(0)
    .default(1024 * 1024),
  /** Each connection costs about 10 KB; beyond this new ones are closed at once. */
  maxConnections: z.int().min(1).default(10_000),
});

type Options = z.infer<typeof options>;

/** A connection idle for so long is not about to ask: clients under load ask again within milliseconds. */
const quietMs = 400;

/** What find-my-way gives back for a path; stored per routes object, so a generation's routes are compiled once. */
type Router = ReturnType<typeof findMyWay>;
const routers = new WeakMap<Routes, Router>();
const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

export const http: InterfaceProtocol<Options> = {
  protocol: "http",
  options: options as unknown as z.ZodType<Options>,

  validate(module) {
    const routes = module["routes"];
    if (routes !== undefined) routerOf(routes as Routes);
  },

  create(options, host) {
    let leaving = false;
    /** Open connections: the answers each is still owed, and since when it is idle. */
    const owed = new Map<Socket, { readonly answers: Set<ServerResponse>; idleSince: number }>();
    const server = createServer(
      {
        maxHeaderSize: 16 * 1024,
        // A slow or silent client must not hold a connection for long.
        headersTimeout: 10_000,
        requestTimeout: 30_000,
        keepAliveTimeout: 5_000,
        connectionsCheckingInterval: 2_000,
      },
      (incoming, outgoing) => {
        const { socket } = incoming;
        if (leaving) outgoing.setHeader("connection", "close");
        const row = owed.get(socket);
        row?.answers.add(outgoing);
        outgoing.once("close", () => {
          row?.answers.delete(outgoing);
          if (row) row.idleSince = performance.now();
        });
        void take(incoming, outgoing, options, host);
      },
    );
    server.on("connection", (socket) => {
      owed.set(socket, { answers: new Set(), idleSince: 0 });
      socket.once("close", () => owed.delete(socket));
    });
    server.maxConnections = options.maxConnections;
    let url: string | undefined;
    return {
      get url() {
        return url;
      },
      async start() {
        const { port } = await host.listen(server, options);
        url = `http://${options.host === "127.0.0.1" || options.host === "0.0.0.0" ? "localhost" : options.host}:${port}`;
      },
      async drain() {
        // A connection that is owed an answer closes with it (a reset would be a lost request). One that was idle for a
        // while closes now; one that was busy a moment ago may carry a request this very moment, so it is let be idle.
        leaving = true;
        // Not http's own close: that ends every connection which is idle this instant.
        const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(server, () => resolve()));
        const closeIdle = (): void => {
          for (const [socket, { answers, idleSince }] of owed)
            if (answers.size === 0 && performance.now() - idleSince > quietMs) socket.end();
        };
        for (const { answers } of owed.values())
          for (const answer of answers) if (!answer.headersSent) answer.setHeader("connection", "close");
        closeIdle();
        const sweep = setInterval(closeIdle, quietMs / 4);
        closed.finally(() => clearInterval(sweep));
        await closed;
      },
      async stop() {
        server.close();
        server.closeAllConnections();
      },
    };
  },
};

async function take(incoming: IncomingMessage, outgoing: ServerResponse, options: Options, host: InterfaceHost) {
  const method = incoming.method ?? "GET";
  const raw = incoming.url ?? "/";
  const mark = raw.indexOf("?");
  const path = mark < 0 ? raw : raw.slice(0, mark);
  const trace = traceOf(incoming.headers.traceparent);
  let module: Handler | undefined;
  let ask: Ask | undefined;
  try {
    const from = incoming.socket.remoteAddress ?? "";
    await host.serve({ label: `${method} ${path}`, from, ...(trace ? { trace } : {}) }, async (handler, request) => {
      module = handler;
      // Whatever strangers ask for must not become a label each.
      request.label = `${method} (no route)`;
      const { route, params, label } = match(handler, method, path);
      request.label = label;
      if (typeof route !== "function") return send(outgoing, route);
      const body = await read(incoming, options.maxBodyBytes, request);
      ask = new Asked(incoming, method, path, raw, params, body);
      if (outgoing.destroyed) request.cancel("the client went away");
      return await send(outgoing, await route(ask));
    });
  } catch (error) {
    await fail(outgoing, error, module, ask ?? new Asked(incoming, method, path, raw, {}, undefined));
  }
}

class Asked implements Ask {
  readonly method: string;
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly #incoming: IncomingMessage;
  readonly #raw: string;
  #url: URL | undefined;

  constructor(
    incoming: IncomingMessage,
    method: string,
    path: string,
    raw: string,
    params: Record<string, string>,
    body: unknown,
  ) {
    this.#incoming = incoming;
    this.method = method;
    this.path = path;
    this.#raw = raw;
    this.params = params;
    this.body = body;
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#incoming.headers as Record<string, string>;
  }

  get url(): URL {
    return (this.#url ??= urlOf(this.#raw, this.#incoming.headers.host ?? "localhost"));
  }

  get query(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.url.searchParams);
  }

  get from(): string {
    return this.#incoming.socket.remoteAddress ?? "";
  }
}

/** Both are a stranger's: "//" is a path here and not another host, and a host is no place for a path. */
function urlOf(raw: string, host: string): URL {
  const text = raw.startsWith("/") ? `http://${host}${raw}` : raw;
  if (/[/?#@\\]/.test(host) || !URL.canParse(text))
    throw new CageError("BAD_INPUT", "the address, or the host header, is none");
  return new URL(text);
}

interface Stored {
  readonly route: Route;
  /** The route as written: what its requests are called in metrics and logs. */
  readonly label: string;
}

function routerOf(routes: Routes): Router {
  let router = routers.get(routes);
  if (router !== undefined) return router;
  router = findMyWay({ ignoreTrailingSlash: false, maxParamLength: 500 });
  for (const [key, route] of Object.entries(routes)) {
    const [method, path, rest] = key.split(" ");
    if (
      !methods.includes(method as never) ||
      !path?.startsWith("/") ||
      rest !== undefined ||
      typeof route !== "function"
    )
      throw new CageError(
        "LOAD",
        `route '${key}': write it as "GET /path/:name" with a function; methods are ${methods.join(", ")}`,
      );
    const stored: Stored = { route, label: key };
    router.on(method as "GET", path, () => {}, stored);
    if (method === "GET" && routes[`HEAD ${path}`] === undefined) router.on("HEAD", path, () => {}, stored);
  }
  routers.set(routes, router);
  return router;
}

function match(
  module: Handler,
  method: string,
  path: string,
): { route: Route | Reply; params: Record<string, string>; label: string } {
  const routes = module["routes"] as Routes | undefined;
  if (routes === undefined)
    throw new CageError("NOT_FOUND", "this interface has no routes; export const routes from its module");
  const router = routerOf(routes);
  const found = router.find(method as "GET", path);
  if (found !== null) {
    const { route, label } = found.store as Stored;
    return { route, params: found.params as Record<string, string>, label };
  }
  const allowed = [...methods, "HEAD" as const].filter((other) => router.find(other, path) !== null);
  if (allowed.length === 0) throw new CageError("NOT_FOUND", `nothing is at ${path}`);
  const allow = [...allowed, "OPTIONS"].join(", ");
  if (method === "OPTIONS") return { route: reply({ status: 204, headers: { allow } }), params: {}, label: "OPTIONS" };
  throw new CageError("METHOD_NOT_ALLOWED", `${path} does not answer ${method}; it answers ${allow}`, {
    details: { allow },
  });
}

async function read(incoming: IncomingMessage, maxBytes: number, request: Request): Promise<unknown> {
  const length = Number(incoming.headers["content-length"] ?? 0);
  if (length === 0 && incoming.headers["transfer-encoding"] === undefined) return undefined;
  if (length > maxBytes) throw tooLarge(maxBytes);
  // Once a request was answered before its body had come, node tells nobody that the rest will not: without this the wait,
  // and the slot with it, would have no end.
  const body = await until(request, collect(incoming, maxBytes));
  const type = (incoming.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  if (type === "application/json") {
    try {
      return JSON.parse(body.toString("utf8")) as unknown;
    } catch (cause) {
      throw new CageError("BAD_INPUT", "the body is not JSON", { cause });
    }
  }
  if (type === "application/x-www-form-urlencoded")
    return Object.fromEntries(new URLSearchParams(body.toString("utf8")));
  return type.startsWith("text/") ? body.toString("utf8") : body;
}

async function collect(incoming: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

const tooLarge = (maxBytes: number): CageError =>
  new CageError("TOO_LARGE", `the body is larger than ${maxBytes} bytes`);

async function send(outgoing: ServerResponse, answer: unknown): Promise<void> {
  if (outgoing.destroyed || outgoing.headersSent) return;
  const { status = 200, headers = {}, body } = isReply(answer) ? answer : ({ body: answer } as Reply);
  outgoing.statusCode = status;
  for (const [name, value] of Object.entries(headers)) outgoing.setHeader(name, value as string);
  if (body instanceof Readable || (typeof body === "object" && body !== null && Symbol.asyncIterator in body)) {
    const stream = body instanceof Readable ? body : Readable.from(body as AsyncIterable<unknown>);
    await new Promise<void>((resolve, reject) => {
      stream.on("error", reject);
      outgoing.on("close", () => {
        stream.destroy();
        resolve();
      });
      stream.pipe(outgoing);
    });
    return;
  }
  if (body === undefined && isReply(answer)) return void outgoing.end();
  const bytes =
    typeof body === "string" || body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body ?? null, plain));
  if (!outgoing.hasHeader("content-type"))
    outgoing.setHeader(
      "content-type",
      typeof body === "string"
        ? "text/plain; charset=utf-8"
        : body instanceof Uint8Array
          ? "application/octet-stream"
          : "application/json",
    );
  outgoing.setHeader("content-length", Buffer.byteLength(bytes));
  outgoing.end(bytes);
}

/** JSON has no bigint; its digits as a string lose nothing. */
const plain = (_: string, value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);

async function fail(outgoing: ServerResponse, error: unknown, module: Handler | undefined, ask: Ask): Promise<void> {
  const known = told(error);
  if (outgoing.headersSent || outgoing.destroyed) return void outgoing.destroy();
  const headers: Record<string, string> = {};
  if (known.status === 503) headers["retry-after"] = "1";
  if (known.status === 405) headers["allow"] = String((error as CageError).details?.["allow"] ?? "");
  // What was not read would be taken for the next request.
  if (!outgoing.req.complete) headers["connection"] = "close";
  const own = module?.["failed"];
  if (typeof own === "function") {
    try {
      const answer = (await own(error, ask)) as unknown;
      if (isReply(answer))
        return await send(outgoing, reply({ ...answer, headers: { ...headers, ...answer.headers } }));
    } catch {
      // Its error page failed too: the plain answer below.
    }
  }
  await send(
    outgoing,
    reply({ status: known.status, headers, body: { error: { code: known.code, message: known.message } } }),
  );
}

function traceOf(header: unknown): Trace | undefined {
  const parts = typeof header === "string" ? /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(header) : null;
  if (parts === null) return undefined;
  return { id: parts[1] as string, span: randomBytes(8).toString("hex"), parent: parts[2] as string };
}
