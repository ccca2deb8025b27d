/**
 * What may stand beside `protocol: "http"` in a configuration, and why each limit is what it is. Every default suits a
 * service that strangers reach directly; one behind a proxy names it in `trusted`.
 */
import { z } from "../../../lib/schema.ts";
import { network } from "./peers.ts";

/** A file's path from the project's folder, or (for a key) a `secret("name")` that holds the PEM text itself. */
const pem = z.union([
  z.string().min(1),
  z.custom<{ reveal(): string }>((value) => typeof (value as { reveal?: unknown } | null)?.reveal === "function", {
    message: 'write the path of a PEM file, or secret("name")',
  }),
]);

const certificate = z.strictObject({ cert: z.string().min(1), key: pem });

export const options = z.strictObject({
  port: z.int().min(0).max(65_535),
  host: z.string().default("127.0.0.1"),
  /** Several certificates are told apart by the names they are for (SNI); the first is for everybody else. */
  tls: z.union([certificate, z.array(certificate).min(1)]).optional(),
  /** HTTP/2 beside HTTP/1.1, chosen by the client (ALPN); needs `tls`, as browsers do. */
  http2: z.boolean().default(false),
  /** Longer ones are refused before the routes see them; browsers and proxies stop at about this length too. */
  maxUrlBytes: z.int().min(16).default(8_000),
  /** All headers together. A session cookie or two and a token fit well; node's parser holds them in memory. */
  maxHeaderBytes: z
    .int()
    .min(1_024)
    .max(1024 * 1024)
    .default(16 * 1024),
  /** Browsers send some twenty; many tiny ones cost more than their bytes. */
  maxHeaders: z.int().min(1).max(2_000).default(100),
  /** Of a body that is read whole: it is held in memory while the handler runs. A route may say otherwise. */
  maxBodyBytes: z
    .int()
    .min(0)
    .default(1024 * 1024),
  /** From a connection's or a request's first byte to the end of its headers: a slow-loris holds its place no longer. */
  headersTimeoutMs: z.int().min(1).default(10_000),
  /** From the headers to the end of a body that is read whole. The request's own deadline may come before it. */
  bodyTimeoutMs: z.int().min(1).default(30_000),
  /** A connection that asks nothing. Clients under load ask again within milliseconds, browsers within seconds. */
  idleTimeoutMs: z.int().min(1).default(5_000),
  /** A client that takes none of its answer for so long: what it does not take is held in memory. */
  stalledTimeoutMs: z.int().min(1).default(20_000),
  /** Each connection costs about 10 KB; beyond this new ones are closed at once. */
  maxConnections: z.int().min(1).default(10_000),
  /** Half of the requests that run at once by default: one address cannot take every place. `trusted` has no limit. */
  maxConnectionsPerAddress: z.int().min(1).default(500),
  /** Then it is closed with its answer, so that long-lived clients spread anew over processes and instances. */
  maxRequestsPerConnection: z.int().min(1).default(100_000),
  /** Streams of one HTTP/2 connection at once: what browsers use, and what RFC 9113 advises not to go below. */
  maxStreams: z.int().min(1).default(100),
  /**
   * Text over 1 KB is sent as br or gzip to whoever accepts it. Off where answers mix a secret with what a stranger
   * chose (BREACH: the length tells), or where a proxy does it.
   */
  compress: z.boolean().default(true),
  /** Proxies whose x-forwarded-for, x-forwarded-proto and deadline header are believed. */
  trusted: z.array(network).default([]),
  /** "x-deadline-ms": how long, in ms, a trusted peer will wait. It shortens the interface's own limit, never more. */
  deadlineHeader: z
    .string()
    .regex(/^[a-z0-9-]+$/, "write a header's name in small letters")
    .optional(),
});

export type Options = z.infer<typeof options>;
export type CertificateFiles = z.infer<typeof certificate>;
