/** ./cage logs [NAME ...] [-f]: what cages say, oldest first; -f goes on as they say more. */
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, watch } from "node:fs";
import { join } from "node:path";
import { CageError } from "../errors.ts";
import { pretty } from "../health/pretty.ts";
import type { Command } from "./main.ts";

const tailBytes = 64 * 1024;

export const logs: Command = {
  usage: "[NAME ...] [-f]",
  summary: "what cages say; -f follows",
  options: { follow: { type: "boolean", short: "f" } },
  async run(given) {
    const all = existsSync(given.paths.logs)
      ? readdirSync(given.paths.logs, { withFileTypes: true }).filter((entry) => entry.isDirectory())
      : [];
    const cages = given.words.length > 0 ? given.words : all.map((entry) => entry.name);
    for (const cage of cages)
      if (!existsSync(join(given.paths.logs, cage)))
        throw new CageError("BAD_INPUT", `there are no logs of '${cage}' under ${given.paths.logs}`);
    const tails = cages.flatMap((cage) =>
      files(join(given.paths.logs, cage)).map(
        (file) => new Tail(file, cages.length > 1 ? `${cage} | ` : "", given.flags["json"] === true),
      ),
    );
    for (const tail of tails) tail.print();
    if (!given.flags["follow"]) return 0;
    for (const tail of tails) tail.follow();
    return await new Promise<number>((resolve) => process.once("SIGINT", () => resolve(0)));
  },
};

const files = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".log"))
    .map((name) => join(folder, name));

/** The end of one file, and what is added to it. */
class Tail {
  readonly #file: string;
  readonly #prefix: string;
  readonly #plain: boolean;
  #at: number | undefined;
  #rest = "";

  constructor(file: string, prefix: string, json: boolean) {
    this.#file = file;
    this.#plain = json || !file.endsWith("cage.log");
    this.#prefix = prefix;
  }

  print(): void {
    const fd = openSync(this.#file, "r");
    const size = fstatSync(fd).size;
    const first = this.#at === undefined;
    let from = this.#at ?? Math.max(0, size - tailBytes);
    // Rotated or cut: it begins anew.
    if (from > size) from = 0;
    const bytes = Buffer.alloc(size - from);
    readSync(fd, bytes, 0, bytes.length, from);
    closeSync(fd);
    this.#at = size;
    const lines = (this.#rest + bytes.toString("utf8")).split("\n");
    this.#rest = lines.pop() ?? "";
    if (first && from > 0) lines.shift();
    const colour = process.stdout.isTTY;
    for (const line of lines) process.stdout.write(`${this.#prefix}${this.#plain ? line : pretty(line, { colour })}\n`);
  }

  follow(): void {
    watch(this.#file, () => this.print());
  }
}
