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
import { resolve } from "node:path";
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
    try {
      return readFileSync(resolve(root, file));
    } catch (cause) {
      throw new CageError(
        "CONFIG",
        `${file} cannot be read, and nodes know each other by it (${(cause as Error).message}); make it where the authority is: ./cage keys node ${node}`,
        { cause },
      );
    }
  }
}

export const uriOf = (node: string): string => `cage://node/${node}`;

/** The node that a certificate names; undefined for none, or more than one name of any kind. */
export const nodeOf = (certificate: X509Certificate): string | undefined =>
  /^URI:cage:\/\/node\/([A-Za-z0-9_-]{1,32})$/.exec(certificate.subjectAltName ?? "")?.[1];

/** Of the other side, whose certificate was proven by the handshake. Throws FORBIDDEN when it names no node. */
export function provenBy(socket: TLSSocket): string {
  const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  const node = certificate === undefined ? undefined : nodeOf(certificate);
  if (node === undefined)
    throw new CageError("FORBIDDEN", "its certificate names no node; make one with ./cage keys node NAME");
  return node;
}

/** What OpenSSL's words for a handshake that failed mean to who keeps the nodes. */
export function whyOf(error: NodeJS.ErrnoException): string {
  const { code = "" } = error;
  const [, sentence] = reasons.find(([pattern]) => pattern.test(code)) ?? [];
  return sentence ?? error.message;
}

const reasons: readonly (readonly [RegExp, string])[] = [
  [
    /ALERT_UNKNOWN_CA|ALERT_BAD_CERTIFICATE/,
    "it does not take the certificate of this node, which is of another authority",
  ],
  [/ALERT_CERTIFICATE_EXPIRED/, "the certificate of this node has expired; make another with ./cage keys node NAME"],
  [/ALERT/, "it ended the handshake"],
  [/SELF_SIGNED|UNABLE_TO|SIGNATURE/, "its certificate is not of this cluster's authority"],
  [/CERT_HAS_EXPIRED/, "its certificate has expired; make another with ./cage keys node NAME"],
  [/CERT_NOT_YET_VALID/, "its certificate is not valid yet; set the clocks"],
  [/PEER_DID_NOT_RETURN|CERTIFICATE_REQUIRED/, "it showed no certificate"],
  [/WRONG_VERSION|HTTP_REQUEST|PACKET_LENGTH|UNSUPPORTED_PROTOCOL|EPROTO/, "it does not speak TLS 1.3"],
  [/ECONNREFUSED/, "nobody listens there"],
  [/ECONNRESET/, "the connection was reset"],
];
