/**
 * Compression of whole answers: which encoding a client prefers, what is worth it, and the work itself (on node's thread
 * pool). Streams are sent as they are: an encoder would hold back what somebody waits for.
 */
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

export type Encoding = "br" | "gzip";

/** Below this the encoder's own bytes, its time, and the packet that is sent anyway outweigh what is saved. */
export const leastBytes = 1_024;

const texts =
  /^(?:text\/(?!event-stream)|application\/(?:json|javascript|xml|manifest\+json|[\w.-]+\+(?:json|xml))|image\/svg\+xml)/i;

export const compressible = (type: string): boolean => texts.test(type);

/** The best that is accepted, by q-value (RFC 9110 12.5.3); of equals br, which is smaller. */
export function encodingFor(accepted: string | undefined): Encoding | undefined {
  if (accepted === undefined) return undefined;
  const weights = new Map<string, number>();
  for (const part of accepted.toLowerCase().split(",").slice(0, 20)) {
    const [name = "", ...parameters] = part.split(";").map((text) => text.trim());
    const q = parameters.find((text) => text.startsWith("q="));
    weights.set(name, q === undefined ? 1 : Number(q.slice(2)) || 0);
  }
  const weight = (name: Encoding): number => weights.get(name) ?? weights.get("*") ?? 0;
  const best: Encoding = weight("br") >= weight("gzip") ? "br" : "gzip";
  return weight(best) > 0 ? best : undefined;
}

const asBrotli = promisify(brotliCompress);
const asGzip = promisify(gzip) as (bytes: Uint8Array, options: { level: number }) => Promise<Buffer>;

/** Levels for answers made on the way: br's default of 11 is a hundred times as slow as 4, for a tenth less. */
export const compressed = (bytes: Uint8Array, encoding: Encoding): Promise<Buffer> =>
  encoding === "br"
    ? asBrotli(bytes, {
        params: {
          [constants.BROTLI_PARAM_QUALITY]: 4,
          [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
        },
      })
    : asGzip(bytes, { level: 6 });
