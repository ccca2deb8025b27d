/**
 * Requests to an interface under test. It listens on a unix socket in the test's own folder instead of its port, so what
 * answers is the whole interface (routing, limits, bodies, headers), and no two tests get in each other's way.
 */
import { request } from "node:http";
import type { Server } from "node:net";
import { join } from "node:path";
import { CageError } from "../errors.ts";

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. */
  readonly body?: string | Uint8Array | object;
}

/** A test's answers are small; one that never ends should fail the test, not the machine. */
const maxAnswerBytes = 64 * 1024 * 1024;
const answerMs = 30_000;

type Address = { readonly host: string; readonly port: number } | { readonly path: string };

/** Stands in for the supervisor's sockets. */
export const listenFor = (folder: string) => async (server: Server, address: Address) => {
  const path = "path" in address ? address.path : socketFor(folder, address);
  await new Promise<void>((listening, failed) => {
    server.once("error", failed);
    server.listen(path, listening);
  });
  return { port: "port" in address ? address.port : 0 };
};

/** By its address, as the interface knows itself; a port of 0 is one for each interface, and a test has few. */
export function socketFor(folder: string, options: unknown): string {
  const { host = "", port } = (options ?? {}) as { host?: string; port?: number };
  if (port === undefined) throw new CageError("BAD_INPUT", "this interface has no port, so it cannot be fetched from");
  return join(folder, `${host.replace(/[^0-9A-Za-z]/g, "_")}-${port}`);
}

export async function fetchFrom(socketPath: string, path: string, asked: Asked): Promise<Response> {
  const { body } = asked;
  const json = typeof body === "object" && !(body instanceof Uint8Array);
  const bytes = body === undefined ? undefined : json ? JSON.stringify(body) : (body as string | Uint8Array);
  const headers: Record<string, string> = {
    host: "localhost",
    ...(json ? { "content-type": "application/json" } : {}),
    ...(bytes === undefined ? {} : { "content-length": String(Buffer.byteLength(bytes)) }),
    ...asked.headers,
  };
  return await new Promise<Response>((resolve, reject) => {
    const sent = request(
      { socketPath, path, method: asked.method ?? (bytes === undefined ? "GET" : "POST"), headers, timeout: answerMs },
      (answer) => {
        const chunks: Buffer[] = [];
        let size = 0;
        answer.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > maxAnswerBytes)
            return void sent.destroy(new CageError("TOO_LARGE", `the answer is over ${maxAnswerBytes} bytes`));
          chunks.push(chunk);
        });
        answer.on("error", reject);
        answer.on("end", () => {
          const status = answer.statusCode ?? 0;
          const pairs = Object.entries(answer.headersDistinct).flatMap(([name, values]) =>
            (values ?? []).map((value): [string, string] => [name, value]),
          );
          // These may not have a body, says Response.
          const bare = status === 204 || status === 205 || status === 304;
          resolve(new Response(bare ? null : Buffer.concat(chunks), { status, headers: pairs }));
        });
      },
    );
    sent.on("timeout", () => sent.destroy(new CageError("EXPIRED", `${path}: no answer within ${answerMs} ms`)));
    sent.on("error", reject);
    sent.end(bytes);
  });
}
