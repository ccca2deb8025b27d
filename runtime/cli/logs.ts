/** ./cage logs [NAME ...] [-f]: what cages say, oldest first; -f goes on as they say more. */
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, statSync, watch } from "node:fs";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
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
    const tails = new Map<string, Tail>();
    let following = false;
    const print = (cage: string): void => {
      for (const file of files(join(given.paths.logs, cage))) {
        let tail = tails.get(file);
        if (tail === undefined)
          tails.set(
            file,
            (tail = new Tail(file, cages.length > 1 ? `${cage} | ` : "", given.flags["json"] === true, following)),
          );
        tail.print();
      }
    };
    for (const cage of cages) print(cage);
    if (!given.flags["follow"]) return 0;
    following = true;
    // Folders are watched, and not files: a log that is rotated, or made later, is followed like the others.
    for (const cage of cages) {
      watch(join(given.paths.logs, cage), () => print(cage));
      // What came between the first look and the watch.
      print(cage);
    }
    return await new Promise<number>((resolve) => process.once("SIGINT", () => resolve(0)));
  },
};

const files = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".log"))
    .map((name) => join(folder, name));

/** The end of one file (of one that came later, all of it), and what is added to it. */
class Tail {
  readonly #file: string;
  readonly #prefix: string;
  readonly #plain: boolean;
  #fd: number | undefined;
  #at = 0;
  #cut = false;
  #decoder = new StringDecoder("utf8");
  #rest = "";

  constructor(file: string, prefix: string, json: boolean, whole: boolean) {
    this.#file = file;
    this.#plain = json;
    this.#prefix = prefix;
    this.#open();
    if (whole || this.#fd === undefined) return;
    this.#at = Math.max(0, fstatSync(this.#fd).size - tailBytes);
    // It begins in the middle of a line.
    this.#cut = this.#at > 0;
  }

  print(): void {
    this.#read();
    const now = statSync(this.#file, { throwIfNoEntry: false });
    if (now === undefined || (this.#fd !== undefined && now.ino === fstatSync(this.#fd).ino)) return;
    // Rotated: the old one is read to its end, the new one from its beginning.
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#at = 0;
    this.#decoder = new StringDecoder("utf8");
    this.#open();
    this.#read();
  }

  #open(): void {
    try {
      this.#fd = openSync(this.#file, "r");
    } catch {
      // Being rotated this moment; the next change finds it.
      this.#fd = undefined;
    }
  }

  #read(): void {
    if (this.#fd === undefined) return;
    const { size } = fstatSync(this.#fd);
    // Emptied by somebody: it begins anew.
    if (this.#at > size) this.#at = 0;
    const bytes = Buffer.alloc(Math.min(size - this.#at, tailBytes));
    for (let got = 1; this.#at < size && got > 0; this.#at += got) {
      got = readSync(this.#fd, bytes, 0, Math.min(bytes.length, size - this.#at), this.#at);
      this.#show(this.#decoder.write(bytes.subarray(0, got)));
    }
  }

  #show(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#cut && lines.length > 0) {
      lines.shift();
      this.#cut = false;
    }
    const colour = process.stdout.isTTY;
    for (const line of lines) process.stdout.write(`${this.#prefix}${this.#plain ? line : pretty(line, { colour })}\n`);
  }
}
