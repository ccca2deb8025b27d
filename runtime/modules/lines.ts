/**
 * From places in compiled code to places in the author's text: the two source maps of a source (compile.ts), merged and
 * parsed when a stack trace or a debugger asks for the first time, which for most is never.
 *
 *     new Lines("/abs/orders.ts", maps).position(40, 24)     // { file: "/abs/orders.ts", line: 29, column: 25 }
 *
 * Refers to neither text nor code, so it may outlive them (stack.ts keeps some).
 */
import { SourceMap } from "node:module";
import remapping from "@jridgewell/remapping";
import type { Mapped, Position } from "./stack.ts";

export class Lines {
  readonly #file: string;
  readonly #maps: readonly [string, string];
  #map: SourceMap | undefined;

  constructor(file: string, maps: readonly [string, string]) {
    this.#file = file;
    this.#maps = maps;
  }

  get size(): number {
    return this.#maps[0].length + this.#maps[1].length;
  }

  position(line: number, column: number): Position {
    this.#map ??= new SourceMap(this.merged() as unknown as ConstructorParameters<typeof SourceMap>[0]);
    const entry = this.#map.findEntry(line - 1, column - 1);
    if (!("originalSource" in entry)) return { file: this.#file, line: 1, column: 1 };
    return { file: this.#file, line: entry.originalLine + 1, column: entry.originalColumn + 1 };
  }

  merged(): Record<string, unknown> {
    const merged = remapping([JSON.parse(this.#maps[0]), JSON.parse(this.#maps[1])], () => null);
    // The wrapper's head is one line above the code.
    return { ...JSON.parse(JSON.stringify(merged)), mappings: `;${String(merged.mappings)}` } as Record<
      string,
      unknown
    >;
  }

  /** For the table of stack traces. */
  labelled(label: string): Mapped {
    return { label, size: this.size, position: (line, column) => this.position(line, column) };
  }
}
