/**
 * A line of the log for people: pretty(line) -> "12:00:00.123 ERROR web@3 could not place  order=7  ab12-7", with the
 * stack of an error on lines of its own. What is not a record of ours is shown as it is. Control characters are shown
 * as escapes: what a stranger sent must not steer the terminal of who reads it.
 */
interface Line {
  readonly time?: unknown;
  readonly level?: unknown;
  readonly message?: unknown;
  readonly request?: unknown;
  readonly interface?: unknown;
  readonly generation?: unknown;
  readonly fields?: Readonly<Record<string, unknown>>;
}

const colours: Readonly<Record<string, string>> = { debug: "2", info: "32", warn: "33", error: "31" };

export function pretty(line: string, options: { readonly colour?: boolean } = {}): string {
  let record: Line;
  try {
    record = JSON.parse(line) as Line;
  } catch {
    return safe(line.trimEnd());
  }
  if (record === null || typeof record !== "object" || typeof record.message !== "string") return safe(line.trimEnd());
  const paint = (code: string, text: string) =>
    options.colour && text !== "" ? `\u001b[${code}m${text}\u001b[0m` : text;

  const time = new Date(String(record.time));
  const clock = Number.isNaN(time.getTime()) ? "--:--:--.---" : localTime(time);
  const level = String(record.level ?? "info");
  const where = record.interface === undefined ? "" : `${String(record.interface)}@${String(record.generation ?? "?")}`;
  const details: string[] = [];
  const stacks: string[] = [];
  for (const [key, value] of Object.entries(record.fields ?? {})) {
    const error = value as { stack?: unknown; message?: unknown } | null;
    if (typeof error?.stack === "string") {
      details.push(`${safe(key)}=${short(error.message)}`);
      stacks.push(
        ...error.stack
          .split("\n")
          .slice(1, 12)
          .map((frame) => `    ${safe(frame.trim())}`),
      );
    } else details.push(`${safe(key)}=${short(value)}`);
  }
  const head = [
    paint("2", clock),
    paint(colours[level] ?? "0", safe(level).toUpperCase().padEnd(5)),
    paint("36", safe(where)),
    safe(record.message),
    paint("2", details.join(" ")),
    paint("2", record.request === undefined ? "" : safe(String(record.request))),
  ];
  return [head.filter((part) => part !== "").join(" "), ...stacks.map((frame) => paint("2", frame))].join("\n");
}

const maxValue = 300;

function short(value: unknown): string {
  const text = typeof value === "string" && !/[\s"=]/.test(value) ? value : (JSON.stringify(value) ?? "undefined");
  return safe(text.length > maxValue ? `${text.slice(0, maxValue)}...` : text);
}

function localTime(time: Date): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const ms = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}

const safe = (text: string): string =>
  text.replace(/\p{Cc}/gu, (character) =>
    character === "\t" ? "  " : `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
