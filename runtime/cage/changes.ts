/**
 * What changed between two generations of a cage, as a unified diff of all their files.
 *
 *     await changes(loader, {})                      // what the serving one changed
 *     await changes(loader, { from: 7 })             // from 7 to the serving one: what a rollback to 7 would take back
 *     await changes(loader, { from: 7, to: 9 })
 *
 * Texts come from the archive, so generations from before a restart are as good as others while they are kept.
 */
import { unified } from "../../lib/diff.ts";
import { CageError } from "../errors.ts";
import type { Archive } from "../modules/archive.ts";

export interface Changes {
  readonly from: number;
  readonly to: number;
  readonly files: readonly string[];
  readonly diff: string;
}

/** An answer of the control socket is one line of JSON; a checkout's difference is read elsewhere. */
const maxCharacters = 1_000_000;

interface Kept {
  readonly archive: Archive;
  readonly current: { readonly id: number };
}

export async function changes({ archive, current }: Kept, asked: { from?: unknown; to?: unknown }): Promise<Changes> {
  for (const each of [asked.from, asked.to])
    if (each !== undefined && !Number.isSafeInteger(each))
      throw new CageError("BAD_INPUT", `a generation is a number, not ${JSON.stringify(each)}`);
  const to = (asked.to as number | undefined) ?? current.id;
  const from = (asked.from as number | undefined) ?? archive.generations.filter((each) => each < to).at(-1);
  if (from === undefined) throw new CageError("NOT_FOUND", `nothing is kept from before generation ${to}`);
  const before = await filesOf(archive, from);
  const after = await filesOf(archive, to);
  const files = [...new Set([...before.keys(), ...after.keys()])]
    .filter((file) => before.get(file) !== after.get(file))
    .sort();
  let diff = "";
  for (const file of files) {
    const [old, now] = await Promise.all(
      [before.get(file), after.get(file)].map((hash) => (hash === undefined ? undefined : archive.text(hash))),
    );
    diff += unified(file, old, now);
    if (diff.length > maxCharacters)
      throw new CageError("TOO_LARGE", `the difference of ${files.length} files is too long`);
  }
  return { from, to, files, diff };
}

async function filesOf(archive: Archive, generation: number): Promise<ReadonlyMap<string, string>> {
  const files = await archive.files(generation);
  if (files === undefined) throw archive.missing(generation);
  return files;
}
