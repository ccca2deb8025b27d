/**
 * Subscription tokens: a capability to read some channels until some time, signed by the server (HMAC-SHA256) and
 * carried by a page. Whoever holds one may subscribe; there is nothing to look up.
 *
 *     const token = sign(secret, { channels: ["forum.thread.7"], user: "ann", expiresAtMs })
 *     verify(secret, token, Date.now())            { channels, user, expiresAtMs }, or throws FORBIDDEN
 *
 * Form: base64url(JSON `[channels, user, expiresAtS]`) `.` base64url(mac). Compared in constant time.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { limits } from "./limits.ts";

export interface Grant {
  readonly channels: readonly string[];
  readonly user: string | null;
  readonly expiresAtMs: number;
}

export function sign(secret: string, grant: Grant): string {
  const claims = JSON.stringify([grant.channels, grant.user, Math.ceil(grant.expiresAtMs / 1000)]);
  const body = Buffer.from(claims, "utf8").toString("base64url");
  return `${body}.${mac(secret, body)}`;
}

export function verify(secret: string, token: unknown, nowMs: number): Grant {
  if (typeof token !== "string" || token.length > limits.maxTokenLength) throw refused("it is not a token");
  const [body, signature, ...more] = token.split(".");
  if (body === undefined || signature === undefined || more.length > 0) throw refused("it is not a token");
  const given = Buffer.from(signature);
  const right = Buffer.from(mac(secret, body));
  if (given.length !== right.length || !timingSafeEqual(given, right)) throw refused("its signature is not ours");
  // Signed by us, so of this shape.
  const [channels, user, expiresAtS] = JSON.parse(Buffer.from(body, "base64url").toString("utf8")) as [
    string[],
    string | null,
    number,
  ];
  if (expiresAtS * 1000 <= nowMs) throw refused("it has expired, ask the page for a new one");
  return { channels, user, expiresAtMs: expiresAtS * 1000 };
}

// The prefix keeps the same secret's other uses apart.
const mac = (secret: string, body: string): string =>
  createHmac("sha256", secret).update(`revolved.subscribe.1.${body}`).digest("base64url");

function refused(why: string): Error {
  return Object.assign(new Error(`Not Authorized: ${why}`), { code: "FORBIDDEN" });
}
