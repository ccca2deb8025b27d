/**
 * What may be configured beside `protocol: "comet"`:
 *
 *     interfaces: { comet: { protocol: "comet", port: 8082, origins: ["https://example.org"] } }
 *
 * The defaults are for browsers on one machine; lib/csp/limits.ts says why each number is what it is.
 */

import { limits } from "../../../lib/csp/limits.ts";
import { z } from "../../../lib/schema.ts";

export const options = z.strictObject({
  /** 0 takes a free one. */
  port: z.int().min(0).max(65_535),
  host: z.string().min(1).default("127.0.0.1"),
  /** Pages that may connect: exact origins, `http://localhost:*` for any port, or `*`. None by default but its own. */
  origins: z
    .array(z.string().regex(/^(\*|https?:\/\/[^/\s]+)$/, "an origin is scheme://host[:port], without a path"))
    .default([]),
  sessionTimeoutMs: z.int().min(200).max(600_000).default(limits.sessionTimeoutMs),
  /** A request has to be there whole in this time, or its connection is closed: slow ones would hold all there are. */
  requestTimeoutMs: z.int().min(100).max(300_000).default(15_000),
  maxSessions: z.int().min(1).default(limits.maxSessions),
  maxBufferedBytes: z.int().min(1024).default(limits.maxBufferedBytes),
  maxBodyBytes: z
    .int()
    .min(1024)
    .max(8 * 1024 * 1024)
    .default(limits.maxBodyBytes),
});

export type CometOptions = z.infer<typeof options>;
