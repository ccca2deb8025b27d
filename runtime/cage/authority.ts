/**
 * The private authority of a cluster, and what it gave its nodes: files, readable by this user only.
 *
 *     state/authority/ca.pem, ca-key.pem        on one machine; whoever has ca-key.pem can be any node
 *     state/authority/NODE/*.pem                what NODE needs, to be copied there
 *     state/keys/ca.pem, node.pem, node-key.pem where a node looks for its own (engine/static)
 *
 * Nothing is made unless asked for, and no key comes with the program. A certificate that is made again has a new key; the
 * one before stays good until it expires. A node that shall not come any more is taken off the list (engine.nodes).
 */
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { issue, makeAuthority } from "../../lib/x509.ts";
import { nodeOf, uriOf } from "../engine/static/identity.ts";
import { CageError } from "../errors.ts";
import { isName, type Paths } from "./paths.ts";

export interface Issued {
  /** Undefined: the authority itself. */
  readonly node: string | undefined;
  readonly until: Date;
  readonly file: string;
}

const dayMs = 24 * 60 * 60 * 1000;
/** Clocks of nodes differ; a certificate must be good on all of them at once. */
const skewMs = 60 * 60 * 1000;

export class Authority {
  readonly #paths: Pick<Paths, "state">;
  readonly folder: string;

  constructor(paths: Pick<Paths, "state">) {
    this.#paths = paths;
    this.folder = join(paths.state, "authority");
  }

  /** Throws CONFLICT when there is one. */
  make(days: number): Issued {
    const file = join(this.folder, "ca.pem");
    if (existsSync(file))
      throw new CageError(
        "CONFLICT",
        `there is an authority in ${this.folder}; remove that folder to begin anew, and every node needs a new certificate then`,
      );
    const made = makeAuthority({ name: "cage nodes", ...lasting(days) });
    write(this.folder, { "ca-key.pem": made.key, "ca.pem": made.cert });
    return read(file);
  }

  /** What a node needs, in a folder of its own; throws NOT_FOUND without an authority. */
  certify(node: string, days: number): Issued & { readonly folder: string } {
    const [ca, key] = ["ca.pem", "ca-key.pem"].map((name) => join(this.folder, name)) as [string, string];
    if (!existsSync(ca) || !existsSync(key))
      throw new CageError(
        "NOT_FOUND",
        `there is no authority in ${this.folder}; make one with ./cage keys authority, once, on one machine of the cluster`,
      );
    if (!isName(node))
      throw new CageError(
        "BAD_INPUT",
        `a node's name is 1-32 of A-Z a-z 0-9 _ -, not '${node}': ./cage keys node west`,
      );
    const authority = { cert: readFileSync(ca, "utf8"), key: readFileSync(key, "utf8") };
    const { from, until } = lasting(days);
    const last = read(ca).until;
    const made = issue(authority, { name: node, uri: uriOf(node), from, until: until < last ? until : last });
    const folder = join(this.folder, node);
    write(folder, { "ca.pem": authority.cert, "node-key.pem": made.key, "node.pem": made.cert });
    return { ...read(join(folder, "node.pem")), folder };
  }

  /** All that is here: the authority, what it gave, and this node's own. */
  list(): readonly Issued[] {
    const given = existsSync(this.folder)
      ? readdirSync(this.folder, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map(({ name }) => join(this.folder, name, "node.pem"))
          .sort()
      : [];
    const own = join(this.#paths.state, "keys", "node.pem");
    return [join(this.folder, "ca.pem"), ...given, own].filter(existsSync).map(read);
  }
}

const lasting = (days: number): { from: Date; until: Date } => ({
  from: new Date(Date.now() - skewMs),
  until: new Date(Date.now() + days * dayMs),
});

function read(file: string): Issued {
  try {
    const certificate = new X509Certificate(readFileSync(file));
    return { node: nodeOf(certificate), until: new Date(certificate.validTo), file };
  } catch (cause) {
    throw new CageError("CONFIG", `${file} is no certificate; remove it, and make it again with ./cage keys`, {
      cause,
    });
  }
}

/** Each file is there whole, or as it was. */
function write(folder: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const [name, text] of Object.entries(files)) {
    const beside = join(folder, `${name}.${process.pid}`);
    writeFileSync(beside, text, { mode: 0o600 });
    renameSync(beside, join(folder, name));
  }
}
