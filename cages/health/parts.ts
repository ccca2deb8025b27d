/** The pieces that pages are put together from: a state's dot, a small curve, a panel, a failed reload with its frame. */
import { each, type Html, html } from "#lib/template/html.ts";
import { ago, count, nothing } from "./figures.ts";
import type { Row, Worker } from "./watch.ts";

/** What a state means to who looks: fine, worth a look, bad, or nothing to say. */
const colours: Readonly<Record<Row["state"], string>> = {
  ready: "good",
  starting: "busy",
  restarting: "busy",
  stopping: "busy",
  draining: "busy",
  drained: "idle",
  failed: "bad",
  silent: "bad",
  off: "idle",
};

/** A cage that serves an old generation because the new code does not load is up, but not well. */
export const colourOf = (row: Row): string =>
  row.state === "ready" &&
  (row.worker?.broken || (row.status?.degraded.length ?? 0) > 0 || row.probes.some((probe) => probe.up === false))
    ? "busy"
    : colours[row.state];

export const dot = (row: Row): Html =>
  html`<span class="dot ${colourOf(row)}" title="${row.state}${row.why === "" ? "" : `: ${row.why}`}"></span>`;

export const cageLink = (name: string): Html => html`<a href="/cages/${name}">${name}</a>`;

/** Requests of the last minute, one point a second; the highest second fills the height. */
export function curve(perSecond: readonly number[]): Html {
  const width = 120;
  const height = 24;
  const top = Math.max(1, ...perSecond);
  const points = perSecond.map((value, at) => {
    const x = (at / Math.max(1, perSecond.length - 1)) * width;
    return `${x.toFixed(1)},${(height - 1 - (value / top) * (height - 3)).toFixed(1)}`;
  });
  const line = points.join(" ");
  return html`<svg class="curve" viewBox="0 0 120 24" width="120" height="24" preserveAspectRatio="none" role="img" aria-label="requests of the last minute, at most ${count(top)} a second"><polygon points="0,24 ${line} 120,24"></polygon><polyline points="${line}"></polyline></svg>`;
}

export const panel = (title: string, more: string, body: Html): Html =>
  html`<section class="panel"><header><h2>${title}</h2><span class="dim">${more}</span></header>${body}</section>`;

export const empty = (text: string): Html => html`<p class="dim empty">${text}</p>`;

/** Columns hold figures, and stand to the right; `{ text }` heads one of words. */
export const table = (heads: readonly (string | { readonly text: string })[], rows: Html): Html =>
  html`<div class="wide"><table><thead><tr>${each(heads, null, (head) => (typeof head === "string" ? html`<th scope="col">${head}</th>` : html`<th scope="col" class="text">${head.text}</th>`))}</tr></thead><tbody>${rows}</tbody></table></div>`;

/** Why a reload failed, as the author needs it: the message and the place in the code. */
export const faultOf = (broken: { readonly message: string; readonly file: string }): string =>
  broken.file === "" ? broken.message : `${broken.file}: ${broken.message}`;

export const frame = (message: string, code: string): Html =>
  html`<div class="fault"><strong>${message}</strong>${code === "" ? null : html`<pre>${code}</pre>`}</div>`;

export interface ErrorRow {
  readonly cage: string;
  readonly at: number;
  readonly count: number;
  readonly code: string;
  readonly message: string;
  readonly label: string;
  readonly where: string;
  readonly stack: string;
  readonly request: string;
}

export const errorsOf = (rows: readonly Row[]): ErrorRow[] =>
  rows
    .flatMap((row) => (row.metrics?.errors ?? []).map((error) => ({ cage: row.name, ...error })))
    .sort((a, b) => b.at - a.at);

export function errorList(errors: readonly ErrorRow[], now: number): Html {
  if (errors.length === 0) return empty("No errors since the start.");
  return html`<div class="list">${each(
    errors,
    (error) => `${error.cage} ${error.code} ${error.label} ${error.message}`,
    (
      error,
    ) => html`<details><summary><span class="code">${error.code}</span> <span class="dim">${error.cage}</span> <span class="grow">${error.message}</span>
      <span class="dim">${error.count > 1 ? `${count(error.count)} times, ` : ""}${ago(error.at, now)}</span></summary>
      <p class="dim">${error.cage}, ${error.label} in ${error.where}${error.request === "" ? "" : `, request ${error.request}`}</p><pre>${error.stack || nothing}</pre></details>`,
  )}</div>`;
}

export interface ReloadRow {
  readonly cage: string;
  readonly at: number;
  readonly ok: boolean;
  readonly generation: number | null;
  readonly files: readonly string[];
  readonly durationMs: number;
  readonly trigger: string;
  readonly message: string;
  readonly frame: string;
  readonly of?: number | null | undefined;
  readonly types?: Worker["types"] | null | undefined;
  readonly canary?: { readonly kept: boolean; readonly why: string } | null | undefined;
}

export const reloadsOf = (rows: readonly Row[]): ReloadRow[] =>
  rows
    .flatMap((row) => (row.metrics?.reloads ?? []).map((reload) => ({ cage: row.name, ...reload })))
    .sort((a, b) => b.at - a.at);

export function filesOf(files: readonly string[]): string {
  const names = files.map((file) => file.split("/").slice(-1)[0]);
  return names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
}

export const typeErrors = (errors: number): string => `${count(errors)} type error${errors > 1 ? "s" : ""}`;

export const faultList = (faults: Worker["types"]["faults"]): Html =>
  html`<div>${each(
    faults,
    (fault) => `${fault.file}:${fault.line} ${fault.message}`,
    (fault) =>
      html`<div><p class="dim">${fault.file}:${String(fault.line)}: ${fault.message}</p><pre>${fault.frame || nothing}</pre></div>`,
  )}</div>`;

export function reloadList(reloads: readonly ReloadRow[], now: number): Html {
  if (reloads.length === 0) return empty("Nothing was loaded yet.");
  return html`<div class="list">${each(
    reloads,
    (reload) => `${reload.cage} ${reload.at}`,
    (reload) => (reload.ok ? loaded(reload, now) : refused(reload, now)),
  )}</div>`;
}

/** What came of it afterwards stands beside it, and opens where there is more to say. */
function loaded(reload: ReloadRow, now: number): Html {
  const { types, canary, of } = reload;
  const what =
    reload.trigger === "start" ? "at its start" : of != null ? `generation ${of} again` : filesOf(reload.files);
  const after = [
    ...(canary == null ? [] : [canary.kept ? "stayed after its trial" : "rolled back after its trial"]),
    ...(types?.count ? [typeErrors(types.count)] : []),
  ];
  const colour = types?.count || canary?.kept === false ? "busy" : "good";
  const said = html`<span class="dot ${colour}"></span> <span>${reload.cage}</span> <span class="dim">generation ${String(reload.generation)}</span>
    <span class="grow dim">${what}</span>${after.length === 0 ? null : html`<span class="${colour}">${after.join(", ")}</span>`} <span class="dim">${Math.round(reload.durationMs)} ms, ${ago(reload.at, now)}</span>`;
  if (after.length === 0) return html`<div class="item">${said}</div>`;
  return html`<details><summary>${said}</summary>${canary == null ? null : html`<p class="dim">${canary.why}</p>`}${faultList(types?.faults ?? [])}</details>`;
}

const refused = (reload: ReloadRow, now: number): Html =>
  html`<details><summary><span class="dot bad"></span> <span>${reload.cage}</span> <span class="grow">not reloaded: ${reload.message}</span>
    <span class="dim">${ago(reload.at, now)}</span></summary><p class="dim">${reload.files.join(", ")}</p><pre>${reload.frame || nothing}</pre></details>`;
