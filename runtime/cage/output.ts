/**
 * What the processes of an instance print beside their log: to its output.log, to the terminal when it runs in the
 * foreground, and the last lines of what went wrong for whoever asks.
 *
 *     output.open();  output.write("listening\n");  output.write("no such table\n", "error");  output.last      // 10 lines
 */
import { type LogFile, openLogFile } from "../health/logfile.ts";

/** Small: the last of it is what is wanted. */
const limits = { maxBytes: 8 * 1024 * 1024, keep: 2 } as const;
const keptLines = 10;

export class Output {
  readonly #file: string;
  readonly #foreground: boolean;
  #log: LogFile | undefined;
  #errors: string[] = [];

  constructor(file: string, foreground: boolean) {
    this.#file = file;
    this.#foreground = foreground;
  }

  open(): void {
    this.#log = openLogFile({ file: this.#file, ...limits });
  }

  write(text: string, kind: "word" | "error" = "word"): void {
    this.#log?.write(text);
    const error = kind === "error";
    if (this.#foreground) (error ? process.stderr : process.stdout).write(text);
    if (error) this.#errors = [...this.#errors, ...text.split("\n").filter((line) => line !== "")].slice(-keptLines);
  }

  get last(): string[] {
    return [...this.#errors];
  }

  close(): void {
    this.#log?.close();
  }
}
