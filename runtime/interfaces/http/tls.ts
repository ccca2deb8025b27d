/**
 * Certificates that are replaced while they serve: the files are looked at every half second, and once they have changed
 * and lie still, new connections get the new ones (open ones go on). Files that do not fit each other, or are no
 * certificates, change nothing and are told of once. (Polled: certbot and Kubernetes swap links, which watchers miss.)
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { createSecureContext, type SecureContext, type TlsOptions } from "node:tls";
import { CageError } from "../../errors.ts";
import { events } from "../../health/events.ts";
import type { CertificateFiles } from "./options.ts";

const lookMs = 500;

interface Loaded {
  readonly pem: { readonly cert: Buffer; readonly key: string | Buffer };
  readonly certificate: X509Certificate;
  readonly context: SecureContext;
}

export class Certificates {
  readonly #files: readonly CertificateFiles[];
  readonly #root: string;
  #loaded: readonly Loaded[];
  #timer: NodeJS.Timeout | undefined;

  /** Throws CONFIG when they cannot be served. */
  constructor(files: CertificateFiles | readonly CertificateFiles[], root: string) {
    this.#files = [files].flat();
    this.#root = root;
    this.#loaded = this.#load();
  }

  /** For a server's creation. */
  get options(): TlsOptions {
    const [first] = this.#loaded as [Loaded];
    return {
      ...first.pem,
      minVersion: "TLSv1.2",
      // A slow-loris may also be slow before its first request: node's own limit is two minutes.
      handshakeTimeout: 10_000,
      SNICallback: (name, done) => done(null, this.#for(name)),
    };
  }

  #for(name: string): SecureContext {
    const [first] = this.#loaded as [Loaded];
    return (this.#loaded.find(({ certificate }) => certificate.checkHost(name) !== undefined) ?? first).context;
  }

  /** Calls `changed` with what a server's setSecureContext takes. */
  watch(name: string, changed: (pem: Loaded["pem"]) => void): void {
    let served = this.#stamp();
    let before = served;
    this.#timer = setInterval(() => {
      const stamp = this.#stamp();
      // Certificate and key are written one after the other: between the two they do not fit.
      const still = stamp === before;
      before = stamp;
      if (!still || stamp === served) return;
      served = stamp;
      try {
        this.#loaded = this.#load();
        changed((this.#loaded[0] as Loaded).pem);
      } catch (error) {
        events.emit("problem", { what: `interface ${name}: the old certificate is served on`, error });
      }
    }, lookMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #stamp(): string {
    const paths = this.#files.flatMap(({ cert, key }) => (typeof key === "string" ? [cert, key] : [cert]));
    return paths
      .map((path) => {
        const stat = statSync(resolve(this.#root, path), { throwIfNoEntry: false });
        return stat === undefined ? "none" : `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
      })
      .join(", ");
  }

  #load(): readonly Loaded[] {
    return this.#files.map(({ cert, key }) => {
      try {
        const pem = {
          cert: readFileSync(resolve(this.#root, cert)),
          key: typeof key === "string" ? readFileSync(resolve(this.#root, key)) : key.reveal(),
        };
        const certificate = new X509Certificate(pem.cert);
        if (!certificate.checkPrivateKey(createPrivateKey(pem.key))) throw new Error("its key is another one's");
        return { pem, certificate, context: createSecureContext({ ...pem, minVersion: "TLSv1.2" }) };
      } catch (cause) {
        const why = (cause as Error).message;
        throw new CageError("CONFIG", `the certificate ${cert} cannot be served: ${why}`, { cause });
      }
    });
  }
}
