/** Lines of JSON by which two nodes greet: read whole, checked, and not a byte further (PROTOCOL.md). */
import type { Duplex } from "node:stream";
import { z } from "../../../lib/schema.ts";
import { CageError, Unavailable } from "../../errors.ts";

const cage = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/);
const process = z.int().min(1).max(1_000);

/** Of the side that accepted. */
export const here = z.union([z.object({ cage, process, leaving: z.boolean() }), z.object({ refused: z.string() })]);
/** Of the side that dialled. */
export const wanted = z.object({ cage, process, wants: z.enum(["beats", "calls"]) });

export type Here = z.output<typeof here>;
export type Wanted = z.output<typeof wanted>;

/** A greeting is 100 bytes, a refusal a sentence. */
const longestLine = 1_024;

export const lineOf = (said: Here | Wanted): string => `${JSON.stringify(said)}\n`;

/** The next line; what follows it stays in the stream. Rejects when the stream ends first, and does not end it. */
export async function readLine<T>(stream: Duplex, schema: z.ZodType<T>): Promise<T> {
  const line = await new Promise<string>((resolve, reject) => {
    let read = Buffer.alloc(0);
    const done = (then: () => void): void => {
      stream.off("readable", take).off("error", fail).off("close", close);
      then();
    };
    const fail = (error: Error): void => done(() => reject(error));
    const close = (): void => fail(new Unavailable("it closed the connection without a word"));
    const take = (): void => {
      for (let chunk: Buffer | null = stream.read(); chunk !== null; chunk = stream.read()) {
        read = Buffer.concat([read, chunk]);
        const end = read.indexOf(0x0a);
        if (end < 0 && read.length <= longestLine) continue;
        if (end < 0 || end > longestLine) return fail(new CageError("PROTOCOL", "it does not speak as a node does"));
        const rest = read.subarray(end + 1);
        return done(() => {
          if (rest.length > 0) stream.unshift(rest);
          resolve(read.subarray(0, end).toString());
        });
      }
    };
    if (stream.destroyed) return close();
    stream.on("readable", take).on("error", fail).on("close", close);
  });
  const parsed = schema.safeParse(jsonOf(line));
  if (!parsed.success) throw new CageError("PROTOCOL", "it does not speak as a node of this release does");
  return parsed.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
