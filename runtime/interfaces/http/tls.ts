/**
 * Certificates that are replaced while they serve: once their files have changed, new connections get the new ones (open
 * ones go on). Files that do not fit each other, or are no certificates, change nothing and are told of once.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createSecureContext, type SecureContext, type TlsOptions } from "node:tls";
import { Settled } from "../../../lib/settled.ts";
import { CageError } from "../../errors.ts";
import { events } from "../../health/events.ts";
import type { CertificateFiles } from "./options.ts";

interface Loaded {
  readonly pem: { readonly cert: Buffer; readonly key: string | Buffer };
  readonly certificate: X509Certificate;
  readonly context: SecureContext;
}

export class Certificates {
  readonly #files: readonly CertificateFiles[];
  readonly #root: string;
  #loaded: readonly Loaded[];
  #settled: Settled | undefined;

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
    const files = this.#files.flatMap(({ cert, key }) => (typeof key === "string" ? [cert, key] : [cert]));
    const load = () => {
      try {
        this.#loaded = this.#load();
        changed((this.#loaded[0] as Loaded).pem);
      } catch (error) {
        events.emit("problem", { what: `interface ${name}: the old certificate is served on`, error });
      }
    };
    this.#settled = new Settled(
      files.map((file) => resolve(this.#root, file)),
      load,
    );
  }

  stop(): void {
    this.#settled?.stop();
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
