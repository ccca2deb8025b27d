/**
 * Buckets: every key belongs to one of 4096, for good, by a frozen hash; a versioned map says which partition keeps a
 * bucket (map.ts). Data moves by bucket, so neither the hash nor the count may ever change for stored data: both are
 * written down beside it and compared when it is opened.
 *
 * A key that is an id routes by the bucket inside it, so that an id alone finds its row; any other key by its hash.
 * Write other keys as `kind:value` ("name:ann"): with a colon they can never be taken for an id.
 */
import { bucketInId } from "./id.ts";

/** Enough that one is a small move (1/4096 of the data), few enough that a map is a few kilobytes. */
export const bucketCount = 4096;

/** FNV-1a over UTF-8, finished by murmur3's fmix32 because FNV's high bits are weak; the bucket is the top 12 bits. */
export const hashName = "fnv1a-fmix32-top12";

const encoder = new TextEncoder();

export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of encoder.encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

export const bucketOf = (key: string): number => bucketInId(key) ?? hash32(key) >>> 20;
