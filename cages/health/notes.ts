/**
 * What is unusual about a cage that is up, and needs no haste: a trial, a rollback that holds, type errors in what
 * serves, a connection that it cannot open to be called over, what only a restart applies. The same on the overview and on the cage's own page; nothing at all when all is
 * as ever.
 */
import { each, type Html, html } from "#lib/template/html.ts";
import { ago, count, span } from "./figures.ts";
import { cageLink, faultList, filesOf, panel, typeErrors } from "./parts.ts";
import type { Row, Worker } from "./watch.ts";

interface Note {
  readonly cage: string;
  /** A word for it, and beside it what is so. */
  readonly kind: "on trial" | "rolled back" | "types" | "restart" | "not dialled";
  readonly text: string;
  /** How far a trial is, 0 to 1. */
  readonly done?: number;
  readonly faults?: Worker["types"]["faults"];
}

export function notes(rows: readonly Row[], now: number): Html | null {
  const all = rows.flatMap((row) => (row.worker === undefined ? [] : notesOf(row, row.worker, now)));
  if (all.length === 0) return null;
  return panel(
    "Worth knowing",
    "",
    html`<div class="list">${each(all, (note) => `${note.cage} ${note.kind}`, line)}</div>`,
  );
}

function notesOf(
  { name: cage, metrics }: Row,
  { generation, canary, held, types, restart, dials }: Worker,
  now: number,
): Note[] {
  const found: Note[] = [];
  if (canary !== null && canary.share > 0)
    found.push({
      cage,
      kind: "on trial",
      text:
        `generation ${canary.generation} takes ${Math.round(canary.share * 100)} % of the requests, generation ${canary.before} the others; ` +
        `${count(canary.requests)} of ${count(canary.wanted)} so far, ${count(canary.failed)} failed, at most ${span(canary.until - now)} left`,
      done: Math.min(1, canary.requests / canary.wanted),
    });
  if (canary !== null && canary.share === 0)
    found.push({
      cage,
      kind: "on trial",
      text: `generation ${canary.generation} did worse and takes no requests; generation ${canary.before} serves`,
    });
  const [serving, before] = metrics?.reloads ?? [];
  const lost = serving?.of === held?.of && before?.canary?.kept === false ? before : undefined;
  const why = lost ? `: generation ${lost.generation} did worse on trial, ${lost.canary?.why}` : "";
  if (held !== null)
    found.push({
      cage,
      kind: "rolled back",
      text: `generation ${generation} is generation ${held.of} again, ${ago(Date.parse(held.at), now)}${why}; it holds until the next save`,
    });
  if (types.count > 0)
    found.push({
      cage,
      kind: "types",
      text: `generation ${generation} serves with ${typeErrors(types.count)}`,
      faults: types.faults,
    });
  if (restart.length > 0) {
    const changed = restart.map(({ what, files }) => `${subjects[what]} (${filesOf(files)})`);
    found.push({ cage, kind: "restart", text: `${changed.join(" and ")} changed: restart to apply` });
  }
  for (const { address, why } of dials.filter(({ open }) => !open))
    found.push({ cage, kind: "not dialled", text: `${address} is tried again and again${why && `: ${why}`}` });
  return found;
}

const subjects = { packages: "packages", runtime: "the runtime's own code" };

function line({ cage, kind, text, done, faults }: Note): Html {
  const said = html`<span class="tag">${kind}</span> ${cageLink(cage)} <span class="grow">${text}</span>${
    done === undefined ? null : html`<progress value="${done.toFixed(3)}" aria-label="how far the trial is"></progress>`
  }`;
  return faults === undefined
    ? html`<div class="item">${said}</div>`
    : html`<details><summary>${said}</summary>${faultList(faults)}</details>`;
}
