/**
 * Passwords: scrypt with a salt each; what is stored names its parameters, so that they can be raised later.
 *
 *     const stored = await hashPassword("correct horse", signal);         "scrypt:15:8:3:SALT:HASH"
 *     await checkPassword("correct horse", stored, signal);               true
 *     await checkPassword("anything", undefined, signal);                 false, at the same cost: nobody of that name
 *
 * One hash takes some 200 ms of a thread and 32 MB, on purpose, and cannot be aborted: two run at once, a few wait, more
 * are refused (OVERLOADED). A waiter leaves when its signal aborts; the slot stays taken until the work has ended.
 */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { Turns } from "./turns.ts";

/** OWASP's advice for scrypt with 32 MB (2^15, 8, 3). */
const cost = { log2N: 15, r: 8, p: 3 };
const keyBytes = 32;

/** Two of libuv's four threads: file and name lookups keep theirs. 32 waiting is some 4 s of work. */
const turns = new Turns({ slots: 2, maxWaiting: 32, waitMs: 10_000, what: "password hashing" });

/** Compared against when there is nobody: no password gives these zeros. */
const nobody = `scrypt:${cost.log2N}:${cost.r}:${cost.p}:${"00".repeat(16)}:${"00".repeat(keyBytes)}`;

export async function hashPassword(password: string, signal?: AbortSignal): Promise<string> {
  const salt = randomBytes(16);
  const key = await derive(password, salt, cost, signal);
  return `scrypt:${cost.log2N}:${cost.r}:${cost.p}:${salt.toString("hex")}:${key.toString("hex")}`;
}

export async function checkPassword(
  password: string,
  stored: string | undefined,
  signal?: AbortSignal,
): Promise<boolean> {
  const [, log2N, r, p, salt, hash] =
    /^scrypt:(\d+):(\d+):(\d+):([0-9a-f]{32}):([0-9a-f]{64})$/.exec(stored ?? nobody) ?? [];
  if (hash === undefined || salt === undefined)
    throw Object.assign(new Error("a stored password is not of a form known here; have it set anew"), {
      code: "INTERNAL",
    });
  const parameters = { log2N: Number(log2N), r: Number(r), p: Number(p) };
  const key = await derive(password, Buffer.from(salt, "hex"), parameters, signal);
  return timingSafeEqual(key, Buffer.from(hash, "hex")) && stored !== undefined;
}

async function derive(
  password: string,
  salt: Buffer,
  parameters: typeof cost,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const release = await turns.take(signal);
  if (signal?.aborted) {
    release();
    throw signal.reason;
  }
  const { log2N, r, p } = parameters;
  const options = { N: 2 ** log2N, r, p, maxmem: 256 * 2 ** log2N * r };
  return await new Promise((resolve, reject) => {
    const leave = () => reject(signal?.reason);
    signal?.addEventListener("abort", leave, { once: true });
    // The same text typed on another keyboard may come in another normal form.
    scrypt(password.normalize("NFKC"), salt, keyBytes, options, (error, key) => {
      release();
      signal?.removeEventListener("abort", leave);
      if (error) reject(error);
      else resolve(key);
    });
  });
}
