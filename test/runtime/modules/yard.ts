/**
 * A project in a temporary folder, with a loader for its cage "shop".
 *
 *     const yard = await Yard.make({ "cages/shop/a.ts": "export const a = 1;" });
 *     await yard.loader.start();
 *     await yard.save({ "cages/shop/a.ts": "export const a = 2;" });   // writes, then reloads by command
 *     await yard.away();
 */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Candidate } from "../../../runtime/modules/generation.ts";
import { hooks } from "../../../runtime/modules/hooks.ts";
import { Loader, type ReloadResult } from "../../../runtime/modules/loader.ts";
import type { LoaderOptions } from "../../../runtime/modules/options.ts";

export type Files = Readonly<Record<string, string>>;

export interface Attached {
  readonly generation: number;
}

export class Yard {
  readonly root: string;
  readonly log: string[] = [];
  readonly loader: Loader<Attached>;
  /** Set to refuse the next candidates. */
  refuse: ((candidate: Candidate) => void) | undefined;

  static async make(files: Files, options: Partial<LoaderOptions<Attached>> = {}): Promise<Yard> {
    const root = await mkdtemp(join(tmpdir(), "cage-modules-"));
    await mkdir(join(root, "cages", "shop"), { recursive: true });
    const yard = new Yard(root, options);
    yard.write(files);
    return yard;
  }

  private constructor(root: string, options: Partial<LoaderOptions<Attached>>) {
    this.root = root;
    this.loader = this.another(options);
  }

  another(options: Partial<LoaderOptions<Attached>> = {}): Loader<Attached> {
    return new Loader<Attached>({
      root: this.root,
      home: resolve(import.meta.dirname, "../../.."),
      cage: "shop",
      stateDir: join(this.root, "state"),
      externals: { "#runtime": { hooks, version: "1", note: (text: string) => this.log.push(text) } },
      prepare: async (candidate) => {
        this.refuse?.(candidate);
        this.log.push(`prepare ${candidate.id}`);
        return {
          attachment: { generation: candidate.id },
          commit: () => this.log.push(`commit ${candidate.id}`),
          abort: async () => void this.log.push(`abort ${candidate.id}`),
        };
      },
      runHook: async (_generation, hook) => void (await hook()),
      dispose: async (id) => void this.log.push(`dispose ${id}`),
      ...options,
    });
  }

  path(name: string): string {
    return join(this.root, name);
  }

  /** Done when it returns, so that a test knows when at the latest it was. */
  write(files: Files): void {
    // In one go: with an await between them, a busy machine would make several saves of it.
    for (const [name, text] of Object.entries(files)) {
      const path = this.path(name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
  }

  /** As editors do: a new file, renamed over the old one. */
  renameInto(name: string, text: string): void {
    const draft = this.path(`${dirname(name)}/.draft`);
    writeFileSync(draft, text);
    renameSync(draft, this.path(name));
  }

  async save(files: Files): Promise<ReloadResult> {
    this.write(files);
    return await this.loader.reload("command", Object.keys(files));
  }

  async unlink(name: string): Promise<void> {
    await rm(this.path(name));
  }

  async remove(name: string): Promise<ReloadResult> {
    await this.unlink(name);
    return await this.loader.reload("command", [name]);
  }

  // biome-ignore lint/suspicious/noExplicitAny: what a test's module exports is known to the test alone
  module(name: string): any {
    return this.loader.current.module(name);
  }

  async away(): Promise<void> {
    await this.loader.stop();
    await rm(this.root, { recursive: true, force: true });
  }
}

/** The failure of a reload that must fail. */
export function failed(result: ReloadResult) {
  if (result.ok) throw new Error(`the reload was to fail, and made generation ${result.generation}`);
  return result.error;
}

/** The next event of that name. */
export { events } from "../../../runtime/health/events.ts";
