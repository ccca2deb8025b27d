/**
 * Who this node is, and who others are: a certificate that names the node, and the authority that vouches for both.
 *
 *     const identity = new Identity({ files, root, node: "west" });
 *     createServer({ ...identity.context, requestCert: true });
 *     identity.watch(() => server.setSecureContext(identity.context));
 *
 * A certificate names its node by one URI, `cage://node/NAME`, and nothing else of it counts: a node may move to another
 * address and keep it. Files that were replaced are taken when they have settled; those that cannot be used change nothing,
 * and are told of. So is a certificate that will expire within two weeks.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import { Settled } from "../../../lib/settled.ts";
import { CageError } from "../../errors.ts";
import { events } from "../../health/events.ts";
import type { StaticOptions } from "../options.ts";

export type IdentityFiles = NonNullable<StaticOptions["tls"]>;

export interface IdentityOptions {
  readonly files: IdentityFiles;
  /** Files are named from here. */
  readonly root: string;
  /** Whose certificate it has to be. */
  readonly node: string;
}

/** Time to make another without haste. */
const warnMs = 14 * 24 * 60 * 60 * 1000;
const lookMs = 60 * 60 * 1000;

interface Loaded {
  readonly context: SecureContextOptions;
  readonly until: Date;
}

export class Identity {
  readonly #options: IdentityOptions;
  #loaded: Loaded;
  #settled: Settled | undefined;
  #aging: NodeJS.Timeout | undefined;
  #warned: Date | undefined;

  /** Throws CONFIG when it cannot be used. */
  constructor(options: IdentityOptions) {
    this.#options = options;
    this.#loaded = this.#load();
  }

  /** For both sides of a connection. */
  get context(): SecureContextOptions {
    return this.#loaded.context;
  }

  watch(changed: () => void): void {
    const { files, root } = this.#options;
    const { ca, cert, key } = files;
    const paths = [ca, cert, ...(typeof key === "string" ? [key] : [])].map((file) => resolve(root, file));
    this.#settled = new Settled(paths, () => {
      try {
        this.#loaded = this.#load();
        changed();
      } catch (error) {
        events.emit("problem", { what: "the certificate of this node: the old one is used on", error });
      }
      this.#look();
    });
    this.#aging = setInterval(() => this.#look(), lookMs).unref();
    this.#look();
  }

  stop(): void {
    this.#settled?.stop();
    clearInterval(this.#aging);
  }

  #look(): void {
    const { until } = this.#loaded;
    if (until.getTime() - Date.now() > warnMs || this.#warned === until) return;
    this.#warned = until;
    const error = new CageError(
      "CONFIG",
      `it is good until ${until.toISOString()}, and no node takes it after that; make another: ./cage keys node ${this.#options.node}`,
    );
    events.emit("problem", { what: "the certificate of this node expires", error });
  }

  #load(): Loaded {
    const { files, node } = this.#options;
    const { key } = files;
    const ca = this.#read(files.ca);
    const cert = this.#read(files.cert);
    try {
      const context = { ca, cert, key: typeof key === "string" ? this.#read(key) : key.reveal() };
      const certificate = new X509Certificate(cert);
      if (!certificate.checkPrivateKey(createPrivateKey(context.key))) throw new Error("its key is another one's");
      const named = nodeOf(certificate);
      if (named !== node)
        throw new Error(`it names ${named === undefined ? "no node" : `node ${named}`}, and this is node ${node}`);
      return { context, until: new Date(certificate.validTo) };
    } catch (cause) {
      if (cause instanceof CageError) throw cause;
      throw new CageError(
        "CONFIG",
        `the certificate ${files.cert} cannot be used: ${(cause as Error).message}; make one where the authority is: ./cage keys node ${node}`,
        { cause },
      );
    }
  }

  #read(file: string): Buffer {
    const { root, node } = this.#options;
    const path = resolve(root, file);
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new CageError(
        "CONFIG",
        `${relative(root, path)} cannot be read (${(cause as NodeJS.ErrnoException).code}), by which nodes know each other; make it where the authority is, ./cage keys node ${node}, and copy it here`,
        { cause },
      );
    }
  }
}

export const uriOf = (node: string): string => `cage://node/${node}`;

/** The node that a certificate names; undefined for none, or more than one name of any kind. */
export const nodeOf = (certificate: X509Certificate): string | undefined =>
  /^URI:cage:\/\/node\/([A-Za-z0-9_-]{1,32})$/.exec(certificate.subjectAltName ?? "")?.[1];

/** The node at the other side, which has to be proven by the handshake. Throws FORBIDDEN with a sentence for both sides. */
export function provenBy(socket: TLSSocket): string {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw new CageError("FORBIDDEN", "no certificate was shown");
  // Node says a code here, whatever its types say.
  if (!socket.authorized) throw new CageError("FORBIDDEN", sentenceOf(String(socket.authorizationError)));
  const node = nodeOf(certificate);
  if (node === undefined)
    throw new CageError("FORBIDDEN", "the certificate shown names no node; make one with ./cage keys node NAME");
  return node;
}

/** What OpenSSL's words for a connection that failed mean to who keeps the nodes. */
export const whyOf = (error: NodeJS.ErrnoException): string => {
  const known = error.code === undefined ? undefined : reasonFor(error.code);
  return known ?? error.message;
};

const sentenceOf = (code: string): string => reasonFor(code) ?? `the certificate shown is not taken (${code})`;
const reasonFor = (code: string): string | undefined => reasons.find(([pattern]) => pattern.test(code))?.[1];

const reasons: readonly (readonly [RegExp, string])[] = [
  [/CERT_HAS_EXPIRED/, "the certificate shown has expired; make another with ./cage keys node NAME"],
  [/CERT_NOT_YET_VALID/, "the certificate shown is not valid yet; set the clocks"],
  [/SELF_SIGNED|UNABLE_TO|_SIGNATURE/, "the certificate shown is not of this cluster's authority"],
  [/WRONG_VERSION|HTTP_REQUEST|PACKET_LENGTH|UNSUPPORTED_PROTOCOL|EPROTO/, "it does not speak TLS 1.3"],
  [/HANDSHAKE_TIMEOUT/, "it began no TLS"],
  [/ALERT/, "it ended the handshake"],
  [/ECONNREFUSED/, "nobody listens there"],
  [/ECONNRESET/, "the connection was reset"],
];
