/**
 * Bundles kept on disk by the content of what went into them, so that a start finds its bundle made and loads no compiler.
 *
 *     const { files, fresh } = await keptBundle({ entries, outdir: "/", platform: "browser", hashed: true }, "state/assets/web.json");
 *
 * One file holds the last bundle, with the hash of each source that was read (and of each that might be read in its place by
 * name alone: the entries). When all of them are still the same it is used; anything else, a damaged file too, bundles anew.
 * The file is replaced whole, never written in place.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type Bundle, type BundledFile, type BundleOptions, bundle } from "./bundle.ts";

interface Kept {
  /** Of this format, the options, and the compiler's version. */
  readonly made: string;
  readonly sources: Readonly<Record<string, string>>;
  readonly files: readonly BundledFile[];
}

const sha = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");

export async function keptBundle(
  options: Omit<BundleOptions, "write">,
  file: string,
): Promise<Bundle & { readonly fresh: boolean }> {
  const made = sha(JSON.stringify(["1", options]));
  const old = await readKept(file);
  if (old?.made === made && (await same(old.sources))) {
    return { files: old.files, inputs: Object.keys(old.sources), fresh: false };
  }

  const built = await bundle({ ...options, write: false });
  const sources: Record<string, string> = {};
  for (const path of built.inputs) sources[path] = sha(await readFile(path));
  const text = JSON.stringify({ made, sources, files: built.files } satisfies Kept);
  const draft = `${file}.${randomUUID()}`;
  await mkdir(dirname(file), { recursive: true });
  try {
    await writeFile(draft, text);
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  return { ...built, fresh: true };
}

async function readKept(file: string): Promise<Kept | undefined> {
  try {
    const kept = JSON.parse(await readFile(file, "utf8")) as Kept;
    return typeof kept.made === "string" && Array.isArray(kept.files) ? kept : undefined;
  } catch {
    return undefined;
  }
}

async function same(sources: Readonly<Record<string, string>>): Promise<boolean> {
  const checks = Object.entries(sources).map(async ([path, hash]) => sha(await readFile(path)) === hash);
  return (await Promise.all(checks).catch(() => [false])).every(Boolean);
}
