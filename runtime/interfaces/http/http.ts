/**
 * The http interface: HTTP/1.1 (and HTTP/2 with TLS) on node's own servers, routed by the handler module.
 *
 *     interfaces: { web: { protocol: "http", port: 8080 } }
 *
 *     // cages/shop/web.ts
 *     export const routes = {
 *       "GET /orders/:id": (ask) => find(ask.params.id),
 *       "PUT /files/:name": { body: "stream", maxBodyBytes: 1e9, answer: (ask) => store(ask.params.name, ask.stream) },
 *     };
 *     export function failed(error, ask) { return reply({ status, body }) }      // optional: its own error answers
 *
 * A handler gets one `Ask` and answers with a value (sent as JSON), a string (text), bytes, a stream, or
 * `reply({ status, headers, body })`. What it throws becomes a code and a sentence with the code's status. HEAD, OPTIONS
 * and 405 follow from the routes; `etag` and `if-none-match` give 304; text is compressed for whoever accepts it.
 *
 *     answers: { "GET /orders/:id": "orders.find(id)" }                        by configuration alone (answered.ts)
 *     tls: { cert: "tls/site.pem", key: secret("site-key") }, http2: true      reloaded when the files change
 *     trusted: ["10.0.0.0/8"], deadlineHeader: "x-deadline-ms"                 proxies whose word counts
 *
 * One file a noun: options, tls, connections, peers, exchange (one request), incoming, routes, answered, ask, body,
 * answer, compress.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createSecureServer } from "node:http2";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { z } from "../../../lib/schema.ts";
import { CageError } from "../../errors.ts";
import type { InterfaceProtocol } from "../interface.ts";
import { rawRefusal } from "./answer.ts";
import { routesOf } from "./answered.ts";
import { Connections } from "./connections.ts";
import { Exchange, type Expectation, type Site } from "./exchange.ts";
import { Incoming } from "./incoming.ts";
import { type Options, options } from "./options.ts";
import { Peers } from "./peers.ts";
import { compile, type Routes } from "./routes.ts";
import { Certificates } from "./tls.ts";

export { type Reply, reply } from "./answer.ts";
export type { Ask } from "./ask.ts";
export type { Route, Routes } from "./routes.ts";

export const http: InterfaceProtocol<Options> = {
  protocol: "http",
  options: options as unknown as z.ZodType<Options>,

  validate(module) {
    const routes = module["routes"];
    if (routes !== undefined) compile(routes as Routes);
  },

  checkName(name) {
    compile({ [name]: () => {} });
  },

  create(options, host) {
    if (options.http2 && options.tls === undefined)
      throw new CageError("CONFIG", `interface ${host.name}: http2 needs tls; browsers speak it no other way`);
    const certificates = options.tls && new Certificates(options.tls, process.cwd());
    const server = serverOf(options, certificates);
    const peers = new Peers(options.trusted);
    const connections = new Connections(server, options, peers);
    const site: Site = { options, host, peers, answered: routesOf(host.answers), draining: () => connections.draining };
    const take = (expects: Expectation) => (incoming: IncomingMessage, outgoing: ServerResponse) => {
      const connection = connections.of(incoming);
      // Asked after the request whose answer closes the connection: its client asks again elsewhere.
      if (connection === undefined || connection.ending) return;
      new Exchange(incoming, outgoing, connection, site, expects).start();
    };
    server.on("request", take("none"));
    server.on("checkContinue", take("continue"));
    server.on("checkExpectation", take("other"));
    server.on("clientError", refuse);
    let url: string | undefined;
    return {
      get url() {
        return url;
      },
      async start() {
        const { port } = await host.listen(server, options);
        const name = ["127.0.0.1", "0.0.0.0"].includes(options.host) ? "localhost" : options.host;
        url = `${certificates ? "https" : "http"}://${name}:${port}`;
        certificates?.watch(host.name, (pem) =>
          (server as unknown as { setSecureContext(pem: object): void }).setSecureContext({
            ...pem,
            minVersion: "TLSv1.2",
          }),
        );
      },
      drain: () => connections.drain(),
      async stop() {
        certificates?.stop();
        server.close();
        connections.destroyAll();
      },
    };
  },
};

function serverOf(options: Options, certificates: Certificates | undefined): Server {
  const limits = {
    maxHeaderSize: options.maxHeaderBytes,
    headersTimeout: options.headersTimeoutMs,
    // Bodies have their own clock, which a stream's does not (body.ts).
    requestTimeout: 0,
    // Told in whole seconds, so clients let go nearly a second before us: else one asks just when we close, and is cut off.
    keepAliveTimeout: options.idleTimeoutMs + 999,
    connectionsCheckingInterval: Math.min(2_000, Math.ceil(options.headersTimeoutMs / 4)),
    insecureHTTPParser: false,
    // Answered by us, as every other refusal is.
    requireHostHeader: false,
  };
  const server =
    certificates === undefined
      ? createServer({ ...limits, IncomingMessage: Incoming })
      : options.http2
        ? Object.assign(
            createSecureServer({
              ...certificates.options,
              allowHTTP1: true,
              Http1IncomingMessage: Incoming,
              settings: { maxConcurrentStreams: options.maxStreams, maxHeaderListSize: options.maxHeaderBytes },
              maxHeaderListPairs: options.maxHeaders + 4,
            }) as unknown as Server,
            limits,
          )
        : createTlsServer({ ...limits, ...certificates.options, IncomingMessage: Incoming });
  // One more than allowed, so that too many are seen and not silently dropped.
  server.maxHeadersCount = options.maxHeaders + 1;
  return server;
}

/** What node's parser did not take, or waited for in vain. */
const refusals: Readonly<Record<string, readonly [number, string, string, string]>> = {
  HPE_HEADER_OVERFLOW: [431, "Request Header Fields Too Large", "TOO_LARGE", "the headers are too large"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, "Content Too Large", "TOO_LARGE", "the chunk extensions are too large"],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Request Timeout", "EXPIRED", "the request did not arrive in time"],
};
const notHttp = [400, "Bad Request", "BAD_INPUT", "this is no HTTP request"] as const;

function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  // An answer that is under way, or owed to an earlier request, must not be mixed with this one.
  const owed = (socket as { _httpMessage?: ServerResponse | null })._httpMessage;
  const mixed = owed !== undefined && owed !== null && (owed.headersSent || owed.req.complete);
  if (error.code?.startsWith("E") && !(error.code in refusals)) return void socket.destroy();
  if (!socket.writable || mixed) return void socket.destroy();
  socket.end(rawRefusal(...(refusals[error.code ?? ""] ?? notHttp)), () => socket.destroy());
}
