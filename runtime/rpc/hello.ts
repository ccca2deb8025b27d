/**
 * The handshake: who is there, what both can do, and a proof of the name.
 *
 *     dialled   HELLO [1, 1], features, me, nonce  ->   <- HELLO  accepted
 *               PROOF                              ->   <- PROOF
 *
 * Both say hello at once, so all of it takes one round trip, and a kept connection does it once. A proof is the HMAC of both
 * names, both nonces and the side, with the key of the cage that proves (state/keys, readable by this user only): it
 * cannot be replayed on another connection, turned back on its maker, or passed on to a third cage.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Instance } from "../engine/engine.ts";
import { CageError } from "../errors.ts";

/** What a release can say. Another major cannot be spoken to; of two minors the lower is spoken. */
export interface Speech {
  readonly version: readonly [major: number, minor: number];
  readonly features: readonly string[];
}

/** 1.1 brought streams, 1.2 beats. */
export const speech: Speech = { version: [1, 2], features: ["streams", "beats"] };

export type Side = "dialled" | "accepted";

/** A cage's key; undefined when there is none, which proves nothing. */
export type KeyOf = (cage: string) => Uint8Array | undefined;

export const nonceBytes = 16;

/** What both can say. Throws PROTOCOL when that is nothing. */
export function common(ours: Speech, theirs: Speech): Speech {
  const [major, minor] = ours.version;
  if (theirs.version[0] !== major)
    throw new CageError(
      "PROTOCOL",
      `the peer speaks version ${theirs.version.join(".")}, this side ${ours.version.join(".")}; upgrade the older one`,
    );
  return {
    version: [major, Math.min(minor, theirs.version[1])],
    features: ours.features.filter((feature) => theirs.features.includes(feature)),
  };
}

export interface Proving {
  readonly by: Instance;
  /** Which side proves. */
  readonly side: Side;
  /** To whom: a proof for one cage is worth nothing to another. */
  readonly to: string;
  readonly nonces: { readonly by: Uint8Array; readonly to: Uint8Array };
}

/** Throws CONFIG without a key of one's own. */
export function prove(proving: Proving, keyOf: KeyOf): Uint8Array {
  const key = keyOf(proving.by.cage);
  if (key === undefined)
    throw new CageError("CONFIG", `${proving.by.cage} has no key; start it again, which makes one`);
  return hmac(proving, key);
}

/** Throws FORBIDDEN when the proof is not of this name. */
export function verify(proof: Uint8Array, proving: Proving, keyOf: KeyOf): void {
  const { node, cage } = proving.by;
  const key = keyOf(cage);
  const expected = key === undefined ? undefined : hmac(proving, key);
  if (expected !== undefined && proof.length === expected.length && timingSafeEqual(proof, expected)) return;
  throw new CageError(
    "FORBIDDEN",
    `who called itself ${node}.${cage} could not prove it; if it is that cage, it uses another state directory or an old key: restart it`,
  );
}

/** Text with its length before it: no two different sets of names make the same bytes. */
function hmac({ by, side, to, nonces }: Proving, key: Uint8Array): Uint8Array {
  const sum = createHmac("sha256", key);
  for (const part of ["cage rpc", side, by.node, by.cage, to]) sum.update(`${Buffer.byteLength(part)}:${part}`);
  return sum.update(nonces.by).update(nonces.to).digest();
}
