/**
 * Bearer tokens: 256 random bits for whoever holds it, their SHA-256 for us. A stolen database opens no session; a hash
 * without salt is enough for what cannot be guessed.
 */
import { createHash, randomBytes } from "node:crypto";

export const newToken = (): string => randomBytes(32).toString("base64url");

export const tokenHash = (token: string): string => createHash("sha256").update(token).digest("base64url");
