/**
 * A file of lines that rotates by size: NAME is current, NAME.1 the youngest of the old ones.
 *
 * Lines of one turn of the event loop are written together, synchronously: into the system's cache, some 20 us a turn,
 * so a kill -9 loses at most the turn it interrupts, and rotation needs no waiting. A disk that is full or gone drops
 * lines and says so once on stderr; it never throws into who logs.
 */
import { closeSync, mkdirSync, openSync, renameSync, statSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";

export interface LogFile {
  write(line: string): void;
  flush(): void;
  close(): void;
}

export interface LogFileOptions {
  readonly file: string;
  readonly maxBytes: number;
  readonly keep: number;
}

/** A turn that logs more is written in parts, so that what is held stays small. */
const maxHeld = 256 * 1024;

export function openLogFile({ file, maxBytes, keep }: LogFileOptions): LogFile {
  let fd: number | undefined;
  let bytes = 0;
  let held = "";
  let scheduled = false;
  let complained = false;

  const open = (): void => {
    mkdirSync(dirname(file), { recursive: true });
    fd = openSync(file, "a");
    bytes = statSync(file).size;
  };
  const close = (): void => {
    if (fd !== undefined) closeSync(fd);
    fd = undefined;
  };
  const rotate = (): void => {
    close();
    for (let n = keep; n >= 1; n--) {
      const from = n === 1 ? file : `${file}.${n - 1}`;
      if (statSync(from, { throwIfNoEntry: false })) renameSync(from, `${file}.${n}`);
    }
    if (keep === 0) unlinkSync(file);
    open();
  };
  const flush = (): void => {
    scheduled = false;
    if (held === "") return;
    const chunk = Buffer.from(held);
    held = "";
    try {
      if (fd === undefined) open();
      if (bytes > 0 && bytes + chunk.length > maxBytes) rotate();
      let at = 0;
      while (at < chunk.length) at += writeSync(fd as number, chunk, at);
      bytes += chunk.length;
      complained = false;
    } catch (error) {
      close();
      if (!complained) process.stderr.write(`${file}: lines are being dropped: ${(error as Error).message}\n`);
      complained = true;
    }
  };

  return {
    write(line) {
      held += line;
      // Parts of a file's size, so that one busy turn does not make one huge file.
      if (held.length >= Math.min(maxHeld, maxBytes / 4)) return flush();
      if (scheduled) return;
      scheduled = true;
      setImmediate(flush);
    },
    flush,
    close() {
      flush();
      close();
    },
  };
}
