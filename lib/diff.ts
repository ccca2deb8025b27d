/**
 * The difference of two texts, line by line, as everybody reads it.
 *
 *     unified("a.ts", "one\ntwo\n", "one\n2\n")
 *
 *     --- a/a.ts
 *     +++ b/a.ts
 *     @@ -1,2 +1,2 @@
 *      one
 *     -two
 *     +2
 *
 * Empty when they are equal; a text that is undefined is a file that is not there. `patch` and `git apply` take the
 * result. The shortest difference by Myers' algorithm, up to `maxEdits` lines; texts that differ more are shown as
 * replaced, between their common beginning and end: nobody reads such a difference line by line.
 */

/** Its square bounds time and memory: 4 million steps, 4 million numbers of trail. */
const maxEdits = 2_000;

interface Line {
  readonly sign: " " | "-" | "+";
  readonly text: string;
}

export function unified(name: string, before: string | undefined, after: string | undefined, context = 3): string {
  if (before === after) return "";
  const head = `--- ${before === undefined ? "/dev/null" : `a/${name}`}\n+++ ${after === undefined ? "/dev/null" : `b/${name}`}\n`;
  const lines = compare(linesOf(before ?? ""), linesOf(after ?? ""));
  return head + hunks(lines, context).join("");
}

/** With their ends, so that a last line without one differs from a line that has it. */
const linesOf = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];

function compare(a: readonly string[], b: readonly string[]): Line[] {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const same = (text: string): Line => ({ sign: " ", text });
  return [
    ...a.slice(0, start).map(same),
    ...middle(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...a.slice(a.length - end).map(same),
  ];
}

/**
 * Myers: `reach[k]` is how far along `a` one gets on the diagonal x - y = k with so many edits; the trail of it is walked
 * back from the end.
 */
function middle(a: readonly string[], b: readonly string[]): Line[] {
  const trail: Int32Array[] = [];
  let reach = new Int32Array(3);
  for (let edits = 0; edits <= Math.min(maxEdits, a.length + b.length); edits++) {
    trail.push(reach);
    // Index k + edits + 1 here; the row before had one place less on each side.
    const next = new Int32Array(2 * edits + 3);
    for (let k = -edits; k <= edits; k += 2) {
      const down = reach[k + edits + 1] ?? -1;
      const right = reach[k + edits - 1] ?? -1;
      let x = edits === 0 ? 0 : k === -edits || (k !== edits && right < down) ? down : right + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      next[k + edits + 1] = x;
      if (x >= a.length && x - k >= b.length) return walked(trail, a, b, edits);
    }
    reach = next;
  }
  return [...a.map((text): Line => ({ sign: "-", text })), ...b.map((text): Line => ({ sign: "+", text }))];
}

function walked(trail: readonly Int32Array[], a: readonly string[], b: readonly string[], edits: number): Line[] {
  const lines: Line[] = [];
  let x = a.length;
  let y = b.length;
  for (let d = edits; d > 0; d--) {
    const reach = trail[d] as Int32Array;
    const k = x - y;
    const down = reach[k + d + 1] ?? -1;
    const right = reach[k + d - 1] ?? -1;
    const added = k === -d || (k !== d && right < down);
    const fromX = added ? down : right;
    const fromY = fromX - (added ? k + 1 : k - 1);
    while (added ? x > fromX : y > fromY) {
      lines.push({ sign: " ", text: a[--x] as string });
      y--;
    }
    if (added) lines.push({ sign: "+", text: b[--y] as string });
    else lines.push({ sign: "-", text: a[--x] as string });
  }
  while (x > 0) lines.push({ sign: " ", text: a[--x] as string });
  return lines.reverse();
}

function hunks(lines: readonly Line[], context: number): string[] {
  const out: string[] = [];
  let [lineA, lineB] = [1, 1];
  for (let at = 0; at < lines.length; ) {
    const first = lines.findIndex((line, i) => i >= at && line.sign !== " ");
    if (first < 0) break;
    const from = Math.max(at, first - context);
    let last = first;
    for (let i = first; i < lines.length && i - last <= 2 * context; i++) if (lines[i]?.sign !== " ") last = i;
    const to = Math.min(lines.length, last + context + 1);
    lineA += from - at;
    lineB += from - at;
    const part = lines.slice(from, to);
    const countA = part.filter((line) => line.sign !== "+").length;
    const countB = part.filter((line) => line.sign !== "-").length;
    out.push(`@@ -${range(lineA, countA)} +${range(lineB, countB)} @@\n${part.map(shown).join("")}`);
    lineA += countA;
    lineB += countB;
    at = to;
  }
  return out;
}

/** Of nothing, the line before it. */
const range = (line: number, count: number): string =>
  count === 1 ? String(line) : `${count === 0 ? line - 1 : line},${count}`;

const shown = ({ sign, text }: Line): string =>
  text.endsWith("\n") ? sign + text : `${sign}${text}\n\\ No newline at end of file\n`;
