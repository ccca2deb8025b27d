/** One cage: its requests by label, what it calls, what runs now, its generations and errors. */

import { each, type Html, html } from "#lib/template/html.ts";
import { CageError, type Entry } from "#runtime";
import { ago, bytes, count, ms, nothing, rate, span, took } from "../figures.ts";
import { notes } from "../notes.ts";
import { dot, empty, errorList, errorsOf, faultOf, frame, panel, reloadList, table } from "../parts.ts";
import { history, type InFlight, inFlight, type Row } from "../watch.ts";
import type { Page } from "./page.ts";

/** A page is read, not searched: the busiest and the newest are enough. */
const maxLabels = 40;
const maxReloads = 15;
const maxRunning = 20;

export const one: Page = {
  path: "/cages/:name",
  title: ({ name = "" }) => name,
  async view(seen, { name = "" }) {
    const row = seen.rows.find((each) => each.name === name);
    if (row === undefined) throw new CageError("NOT_FOUND", `there is no cage '${name}' on this node`);
    const [entries, running] = row.state === "ready" ? await Promise.all([history(name), inFlight(name)]) : [[], []];
    return html`${head(row, seen.at)}${row.worker?.broken ? panel("The new code does not load", "the old generation serves", frame(faultOf(row.worker.broken), row.worker.broken.frame)) : null}${notes([row], seen.at)}
      ${row.state === "ready" ? null : panel("Last words", row.why, frame(row.why || row.state, row.status?.stderr.join("\n") ?? ""))}
      ${panel("Requests", "of the last minutes; success, refused and failure since the start", requests(row))}
      ${panel("Calls to other cages", "", calls(row))}
      ${panel("Running now", count(running.length), flying(running))}
      <div class="columns">${panel("Errors", "", errorList(errorsOf([row]), seen.at))}${panel("Generations", "", reloadList(reloads(row, entries), seen.at))}</div>`;
  },
};

function head(row: Row, now: number): Html {
  const facts: [string, string][] = [
    ["state", row.state],
    ["process", row.status?.pid === undefined ? nothing : String(row.status.pid)],
    ["generation", row.worker === undefined ? nothing : String(row.worker.generation)],
    ["up", row.worker === undefined ? nothing : span(row.worker.uptimeMs)],
    ["restarts", row.status === undefined ? nothing : String(row.status.restarts)],
    [
      "last end",
      row.status?.lastExit === undefined ? nothing : `${row.status.lastExit.why}, ${ago(row.status.lastExit.at, now)}`,
    ],
    ["memory", row.worker === undefined ? nothing : bytes(row.worker.rssBytes)],
    ["event loop p99", row.metrics === undefined ? nothing : ms(row.metrics.loop.p99)],
    ...(row.worker?.interfaces ?? []).flatMap(({ name, status = {} }) =>
      Object.entries(status).flatMap(([what, value]): [string, string][] =>
        value === null ? [] : [[`${name} ${what}`, String(value)]],
      ),
    ),
    ...(row.worker?.dials ?? []).map(({ address, open }): [string, string] => [
      `dials ${address}`,
      open ? "open" : "not open",
    ]),
    ...row.probes.map((probe): [string, string] => [
      probe.url.replace(/^https?:\/\//, ""),
      probe.up === undefined ? "asking" : probe.up ? `answers in ${ms(probe.ms)}` : probe.why,
    ]),
  ];
  const button = html`<form method="post" action="/do"><input type="hidden" name="verb" value="reload"><input type="hidden" name="cage" value="${row.name}"><button>Reload</button></form>`;
  return html`<section class="panel"><header><h2>${dot(row)} ${row.name}</h2>${row.state === "ready" ? button : null}</header>
    <dl>${each(
      facts,
      ([name]) => name,
      ([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`,
    )}</dl></section>`;
}

function requests(row: Row): Html {
  const rows = [...(row.metrics?.requests ?? [])]
    .sort((a, b) => b.rate60 - a.rate60 || b.success - a.success)
    .slice(0, maxLabels);
  if (rows.length === 0) return empty("None yet.");
  return table(
    ["Request", "A second", "p50", "p90", "p99", "Longest", "Success", "Refused", "Failure"],
    each(
      rows,
      (one) => `${one.interface} ${one.label}`,
      (one) => html`<tr><th scope="row">${one.label} <small class="dim">${one.interface}</small></th>
      <td>${rate(one.rate60)}</td><td>${took(one.recent, "p50")}</td><td>${took(one.recent, "p90")}</td><td>${took(one.recent, "p99")}</td><td>${took(one.recent, "max")}</td>
      <td>${count(one.success)}</td><td>${count(one.refused)}</td><td class="${one.failure > 0 ? "bad" : ""}">${count(one.failure)}</td></tr>`,
    ),
  );
}

function calls(row: Row): Html {
  const rows = row.metrics?.calls ?? [];
  if (rows.length === 0) return empty("None yet.");
  return table(
    ["To", "A second", "p50", "p90", "p99", "Success", "Refused", "Failure", "Stream items"],
    each(
      rows,
      (one) => one.cage,
      (one) => html`<tr><th scope="row"><a href="/cages/${one.cage}">${one.cage}</a></th><td>${rate(one.rate60)}</td>
      <td>${took(one.recent, "p50")}</td><td>${took(one.recent, "p90")}</td><td>${took(one.recent, "p99")}</td><td>${count(one.success)}</td><td>${count(one.refused)}</td><td class="${one.failure > 0 ? "bad" : ""}">${count(one.failure)}</td><td>${count(one.items)}</td></tr>`,
    ),
  );
}

function flying(running: readonly InFlight[]): Html {
  if (running.length === 0) return empty("Nothing at this moment.");
  const oldest = [...running].sort((a, b) => b.ageMs - a.ageMs).slice(0, maxRunning);
  return table(
    ["Request", "Id", "Generation", "Age", "Time left"],
    each(
      oldest,
      (one) => one.id,
      (one) => html`<tr><th scope="row">${one.label} <small class="dim">${one.interface}</small></th><td>${one.id}</td>
      <td>${String(one.generation)}</td><td>${ms(one.ageMs)}</td><td>${ms(one.remainingMs)}</td></tr>`,
    ),
  );
}

/** Over restarts too, from its history; what was found afterwards is known of those of this process. */
const reloads = (row: Row, entries: readonly Entry[]) =>
  entries
    .slice(-maxReloads)
    .reverse()
    .map((entry) => {
      const seen = row.metrics?.reloads.find((each) => entry.ok && each.ok && each.generation === entry.generation);
      return {
        cage: row.name,
        at: Date.parse(entry.at),
        ok: entry.ok,
        generation: entry.generation,
        files: entry.files,
        durationMs: entry.durationMs,
        trigger: entry.trigger,
        message: entry.error?.message ?? "",
        frame: entry.error?.frame ?? "",
        of: entry.of,
        types: seen?.types,
        canary: seen?.canary,
      };
    });
