/** Types of `hooks`: what the old version of a module hands over is typed by that module's exports. */
import { hooks } from "#runtime";

export let table = new Map<string, number>();
export const version = "1";

// To this very module, as the manual shows it.
export const life = hooks<typeof import("./hooks.ts")>({
  async handover(old) {
    table = old.table;
    const text: string = old.version;
    // @ts-expect-error the old version exports no such name
    old.tabel;
    // @ts-expect-error its map has numbers
    const wrong: Map<string, string> = old.table;
    return [text, wrong];
  },
  start() {},
  async stop() {},
});

// Without a type the old exports are unknown, and must be looked at before use.
hooks({
  handover(old) {
    // @ts-expect-error unknown is no map
    table = old["table"];
    if (old["table"] instanceof Map) table = old["table"];
  },
});

// Each of them may be left out.
hooks({});
hooks({ stop: () => undefined });

// @ts-expect-error there is no such hook
hooks({ begin() {} });
// @ts-expect-error a hook is a function
hooks({ start: 1 });
// @ts-expect-error start is given nothing
hooks({ start(_old: object) {} });
