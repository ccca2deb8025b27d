/**
 * The session cookie: Impact's token with a signature, so that a made-up one is refused here and costs nobody a call.
 *
 *     __Host-planet=TOKEN.HMAC; Secure; HttpOnly; SameSite=Lax; Path=/
 *
 * `__Host-` lets no other host or path of the domain set it. What it opens is Impact's to say, on every request.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { parseCookie, stringifySetCookie } from "cookie";
import { secret } from "#runtime";

const name = "__Host-planet";
const key = secret("surface-session");

const mac = (token: string): string =>
  createHmac("sha256", key.reveal()).update(`session.1.${token}`).digest("base64url");

export function cookiesOf(header: string | undefined): Readonly<Record<string, string | undefined>> {
  return parseCookie(header ?? "");
}

/** Impact's token; empty for a visitor. */
export function tokenOf(cookies: Readonly<Record<string, string | undefined>>): string {
  const value = cookies[name] ?? "";
  const dot = value.lastIndexOf(".");
  if (dot <= 0 || value.length > 1_000) return "";
  const token = value.slice(0, dot);
  const given = Buffer.from(value.slice(dot + 1));
  const right = Buffer.from(mac(token));
  return given.length === right.length && timingSafeEqual(given, right) ? token : "";
}

const attributes = { path: "/", secure: true, httpOnly: true, sameSite: "lax" } as const;

export const signedIn = (token: string, expires: number): string =>
  stringifySetCookie({ name, value: `${token}.${mac(token)}`, expires: new Date(expires), ...attributes });

export const signedOut = (): string => stringifySetCookie({ name, value: "", maxAge: 0, ...attributes });
