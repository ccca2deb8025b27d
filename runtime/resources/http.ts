/**
 * The http resource: requests to other services over kept connections.
 *
 *     resources: { bank: { protocol: "http", origin: "https://bank.example", timeoutMs: 3_000 } }
 *
 *     const { status, json } = await bank.request("/accounts/7");
 *     await bank.request("/transfers", { method: "POST", json: { cents: 5 }, headers: { "idempotency-key": id } });
 *
 * Every status is an answer; only what is no answer throws: UNAVAILABLE (nobody there, nothing was sent), EXPIRED (the
 * request's deadline, or `timeoutMs`), UNKNOWN_OUTCOME (lost after sending), PROTOCOL (not HTTP, or too large). Redirects
 * are answers as well: where a request may go is its author's to decide. Without `origin` each request names a whole
 * URL. The trace goes along as `traceparent` (and `tracestate`), and with `deadlineHeader` what time is left and the log level (`x-log-level`). Connections are opened outside requests, and are bounded per origin; who
 * finds them all busy waits in line by deadline, and is refused when there are too many or it would come too late.
 */
import { Agent, type Dispatcher } from "undici";
import { z } from "../../lib/schema.ts";
import { CageError, Expired } from "../errors.ts";
import { levelName } from "../request/carried.ts";
import { Gate } from "../request/gate.ts";
import { current, outside, type Request } from "../request/request.ts";
import { traceparent } from "../request/traceparent.ts";
import { Wait } from "../request/wait.ts";
import type { ResourceProtocol } from "./resource.ts";

const options = z.strictObject({
  /** "https://host[:port]": what paths are relative to. */
  origin: z.url({ protocol: /^https?$/ }).optional(),
  /** Of one request with its time in line, when its caller has more. */
  timeoutMs: z.int().min(1).default(5_000),
  connectTimeoutMs: z.int().min(1).default(3_000),
  /** Larger answers are cut off: they are held in memory. */
  maxBodyBytes: z
    .int()
    .min(0)
    .default(8 * 1024 * 1024),
  /** Open connections, and so requests at once, of this resource. */
  connections: z.int().min(1).default(64),
  waiting: z.int().min(0).default(256),
  /** "x-deadline-ms": tells the other side how long, in ms, its answer is waited for. */
  deadlineHeader: z
    .string()
    .regex(/^[a-z0-9-]+$/, "write a header's name in small letters")
    .optional(),
});
type Options = z.infer<typeof options>;

export interface HttpRequest {
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Sent as JSON. */
  readonly json?: unknown;
  readonly timeoutMs?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: Uint8Array;
  text(): string;
  json(): unknown;
}

export interface HttpClient {
  request(url: string, request?: HttpRequest): Promise<HttpAnswer>;
}

export const http: ResourceProtocol<Options, HttpClient> = {
  protocol: "http",
  options: options as unknown as z.ZodType<Options>,

  async open(options, host) {
    const gate = new Gate({ name: host.name, running: options.connections, waiting: options.waiting });
    const agent = new Agent({
      connections: options.connections,
      connect: { timeout: options.connectTimeoutMs },
      maxResponseSize: options.maxBodyBytes,
      // Ours is the only clock: the request's deadline ends it by signal.
      headersTimeout: 0,
      bodyTimeout: 0,
    });

    async function send(request: Request, url: URL, given: HttpRequest, wait: Wait): Promise<HttpAnswer> {
      const { signal } = wait;
      try {
        const { deadlineHeader } = options;
        const headers: Record<string, string> = {
          traceparent: traceparent(request.trace),
          ...(request.trace.state === undefined ? {} : { tracestate: request.trace.state }),
          ...(given.json === undefined ? {} : { "content-type": "application/json" }),
          ...(deadlineHeader === undefined
            ? {}
            : { [deadlineHeader]: String(Math.floor(wait.remaining)), [levelName]: request.logLevel }),
          ...given.headers,
        };
        const parts: Dispatcher.RequestOptions = {
          origin: url.origin,
          path: url.pathname + url.search,
          method: given.method ?? "GET",
          headers,
          body: given.json === undefined ? (given.body ?? null) : JSON.stringify(given.json),
          signal,
        };
        // A connection made inside a request would hold on to it for as long as it lives.
        const answer = await outside(() => agent.request(parts));
        const body = new Uint8Array(await answer.body.arrayBuffer());
        return new Answer(answer.statusCode, answer.headers as HttpAnswer["headers"], body);
      } catch (error) {
        throw explained(error, `${host.name}: ${given.method ?? "GET"} ${url.origin}${url.pathname}`, signal);
      }
    }

    return {
      client: {
        async request(url, given = {}) {
          const request = current();
          const whole = target(url, options.origin, host.name);
          const wait = new Wait(request, host.name, { limitMs: given.timeoutMs ?? options.timeoutMs });
          try {
            return await gate.pass(wait, () => send(request, whole, given, wait));
          } finally {
            wait.end();
          }
        },
      },
      async check() {
        if (options.origin === undefined) return;
        const signal = AbortSignal.timeout(options.connectTimeoutMs);
        try {
          const answer = await agent.request({ origin: options.origin, path: "/", method: "HEAD", signal });
          await answer.body.dump();
        } catch (error) {
          throw explained(error, `${host.name}: ${options.origin}`, signal);
        }
      },
      close: () => agent.close(),
    };
  },
};

function target(url: string, origin: string | undefined, name: string): URL {
  const whole = URL.canParse(url, origin) ? new URL(url, origin) : undefined;
  if (whole === undefined || !/^https?:$/.test(whole.protocol))
    throw new CageError(
      "BAD_INPUT",
      `${name}: "${url}" is not a URL; ${origin ? "write a path" : "it has no origin, so write a whole one"}`,
    );
  // Else a path made from somebody's input ("//evil.example") would leave the service it was meant for.
  if (origin !== undefined && whole.origin !== new URL(origin).origin)
    throw new CageError("FORBIDDEN", `${name}: "${url}" leads away from ${origin}`);
  return whole;
}

class Answer implements HttpAnswer {
  readonly status: number;
  readonly headers: HttpAnswer["headers"];
  readonly body: Uint8Array;

  constructor(status: number, headers: HttpAnswer["headers"], body: Uint8Array) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }

  text(): string {
    return new TextDecoder().decode(this.body);
  }

  json(): unknown {
    try {
      return JSON.parse(this.text()) as unknown;
    } catch (cause) {
      throw new CageError("PROTOCOL", `the answer (status ${this.status}) is not JSON`, { cause });
    }
  }
}

/** Nothing was sent yet when these happen. */
const unsent = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);
const foreign = new Set(["UND_ERR_RES_EXCEEDED_MAX_SIZE", "UND_ERR_HEADERS_OVERFLOW"]);

function explained(error: unknown, what: string, signal: AbortSignal): CageError {
  if (signal.aborted) {
    const why = signal.reason as { code?: unknown; message?: string };
    return why.code === "CANCELLED"
      ? new CageError("CANCELLED", `${what}: ${why.message}`, { cause: error })
      : new Expired(`${what} was not answered in time`, { cause: error });
  }
  const { code = "", message, name } = error as { code?: string; message: string; name: string };
  if (unsent.has(code))
    return new CageError("UNAVAILABLE", `${what}: nobody answers there (${code})`, { cause: error });
  if (foreign.has(code) || name === "HTTPParserError")
    return new CageError("PROTOCOL", `${what}: the answer cannot be taken (${code || message})`, { cause: error });
  return new CageError("UNKNOWN_OUTCOME", `${what}: the connection was lost (${code || message})`, { cause: error });
}
