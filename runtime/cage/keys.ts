/**
 * Keys by which cages of a node know each other: state/keys/NAME, made at the first start, readable by this user only.
 * The CLI has one as well ("cli"). What they prove: rpc/hello.ts. Who may read the state directory may be any cage; that
 * is as far as one host under one user goes.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CageError } from "../errors.ts";
import type { KeyOf } from "../rpc/hello.ts";
import { isName, type Paths } from "./paths.ts";
import { keptIn } from "./secret.ts";

/** Makes sure of the key of `me`; the keys of others are looked at when they come. */
export function keysOf(paths: Pick<Paths, "state">, me: string): KeyOf {
  const directory = join(paths.state, "keys");
  if (!isName(me)) throw new CageError("CONFIG", `a cage's name is 1-32 of A-Z a-z 0-9 _ -, not '${me}'`);
  keptIn(directory, me);
  return (cage) => {
    // A name that a stranger claims: it must not become a path, nor make a key.
    if (!isName(cage)) return undefined;
    try {
      const text = readFileSync(join(directory, cage), "utf8").trim();
      return text === "" ? undefined : Buffer.from(text);
    } catch {
      return undefined;
    }
  };
}
