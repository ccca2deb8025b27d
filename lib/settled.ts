/**
 * Files that are replaced while they are in use: looked at every half second, and told of once they have changed and lie
 * still. Polled: certbot and Kubernetes swap links, which watchers miss. Certificate and key are written one after the
 * other; between the two they do not fit, and nobody is told.
 *
 *     const settled = new Settled([cert, key], () => load());
 *     settled.stop();
 */
import { statSync } from "node:fs";

const lookMs = 500;

export class Settled {
  readonly #files: readonly string[];
  readonly #timer: NodeJS.Timeout;

  constructor(files: readonly string[], changed: () => void) {
    this.#files = files;
    let told = this.#stamp();
    let before = told;
    this.#timer = setInterval(() => {
      const stamp = this.#stamp();
      const still = stamp === before;
      before = stamp;
      if (!still || stamp === told) return;
      told = stamp;
      changed();
    }, lookMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #stamp(): string {
    return this.#files
      .map((file) => {
        const stat = statSync(file, { throwIfNoEntry: false });
        return stat === undefined ? "none" : `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
      })
      .join(", ");
  }
}
