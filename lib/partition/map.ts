/**
 * The map of a keyspace: which partition keeps which bucket, under a number (`epoch`) that only grows. Whoever routes by
 * an older map is told so by the partition (WRONG_PARTITION) and looks again; nobody writes to the wrong place.
 *
 *     const map = planMap(["p0", "p1", "p2", "p3"]);
 *     ownerOf(map, bucketOf("name:ann"))                "p2"
 *     writeMap(file, map);  readMap(file)
 *
 * First placement is by rendezvous: every partition bids for every bucket, so adding one moves only what it wins. Where
 * buckets went afterwards is the map's to say. `pins` is for single hot keys; nothing sets one yet.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "../schema.ts";
import { bucketCount, hash32, hashName } from "./bucket.ts";

const mapSchema = z.strictObject({
  format: z.literal(1),
  hash: z.literal(hashName),
  epoch: z.int().min(1),
  partitions: z.array(z.string().regex(/^[a-z0-9-]{1,32}$/)).min(1),
  /** For each bucket, the place of its partition in `partitions`. */
  owners: z.array(z.int().min(0)).length(bucketCount),
  /** Key -> partition, for keys that are moved alone. */
  pins: z.record(z.string(), z.string()),
});

export type BucketMap = Readonly<z.infer<typeof mapSchema>>;

export function planMap(partitions: readonly string[], epoch = 1): BucketMap {
  const owners: number[] = [];
  for (let bucket = 0; bucket < bucketCount; bucket++) {
    let winner = 0;
    let best = -1;
    partitions.forEach((partition, at) => {
      const bid = hash32(`${partition}/${bucket}`);
      if (bid > best) [winner, best] = [at, bid];
    });
    owners.push(winner);
  }
  return { format: 1, hash: hashName, epoch, partitions: [...partitions], owners, pins: {} };
}

export function ownerOf(map: BucketMap, bucket: number, key?: string): string {
  const pinned = key === undefined ? undefined : map.pins[key];
  return pinned ?? (map.partitions[map.owners[bucket] as number] as string);
}

/** Undefined when there is no such file; an error when there is one that is no map of ours. */
export function readMap(file: string): BucketMap | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const parsed = mapSchema.safeParse(parseJson(text));
  if (!parsed.success || parsed.data.owners.some((owner) => owner >= parsed.data.partitions.length))
    throw Object.assign(
      new Error(
        `${file} is not a bucket map that this version reads; restore it from a backup, its data depends on it`,
      ),
      { code: "CONFIG", cause: parsed.error },
    );
  return parsed.data;
}

/** Whole or not at all: written beside, flushed, renamed. */
export function writeMap(file: string, map: BucketMap): void {
  mkdirSync(dirname(file), { recursive: true });
  const beside = `${file}.${process.pid}.new`;
  const handle = openSync(beside, "w");
  try {
    writeSync(handle, `${JSON.stringify(map)}\n`);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(beside, file);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
