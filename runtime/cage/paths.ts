/**
 * Where things are. `home` is the installation (runtime/, lib/, node_modules/); `root` is the project (cages/, config/,
 * logs/, state/). In a clone they are the same folder.
 *
 * Socket names are short hashes: the kernel cuts paths over 107 bytes silently, and then `-bill.sock` is answered by the
 * shop. A state directory too deep even for those gets its sockets in the system's temporary directory.
 */
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { CageError } from "../errors.ts";

export interface Paths {
  readonly home: string;
  readonly root: string;
  readonly cages: string;
  readonly config: string;
  readonly state: string;
  readonly logs: string;
  /** Sockets; mode 0700, which is what keeps other users out. */
  readonly run: string;
}

const longestSocketPath = 107;
const hash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 12);

export function pathsOf(home: string, root: string): Paths {
  const state = resolve(root, process.env["CAGE_STATE"] ?? "state");
  const near = join(state, "run");
  const run =
    Buffer.byteLength(near) + 20 <= longestSocketPath ? near : join(tmpdir(), `cage-${userInfo().uid}-${hash(state)}`);
  return { home, root, cages: join(root, "cages"), config: join(root, "config"), state, logs: join(root, "logs"), run };
}

/**
 * Makes the directory of the sockets, private to this user. In the system's temporary directory its name can be guessed:
 * one that somebody else made first would make every call and control theirs, so it is refused.
 */
export function ensureRun(paths: Paths): void {
  mkdirSync(paths.run, { recursive: true, mode: 0o700 });
  if (paths.run.startsWith(paths.state)) return;
  const { uid, mode } = lstatSync(paths.run);
  const me = process.getuid?.() ?? uid;
  if (uid !== me || (mode & 0o022) !== 0 || !lstatSync(paths.run).isDirectory())
    throw new CageError(
      "CONFIG",
      `${paths.run} is not private to this user (owner ${uid}, mode ${(mode & 0o777).toString(8)}); remove it, or set CAGE_STATE to a folder with a shorter path`,
    );
}

export const socketOf = (paths: Paths, kind: "ctl" | "rpc", cage: string, process = 1): string =>
  join(paths.run, `${hash(process === 1 ? cage : `${cage}#${process}`)}.${kind}`);

/** Names of cages: what stands as a folder under cages/, dot folders (.shared) aside. */
export function cagesOf(paths: Paths): string[] {
  if (!existsSync(paths.cages)) return [];
  return readdirSync(paths.cages, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && isName(entry.name))
    .map((entry) => entry.name)
    .sort();
}

export const isName = (name: string): boolean => /^[A-Za-z0-9_-]{1,32}$/.test(name);
