/** All cages at a glance: what is wrong first, then a row for each, then the last errors and reloads. */
import { each, type Html, html } from "#lib/template/html.ts";
import { ago, bytes, count, ms, nothing, rate, span, took } from "../figures.ts";
import { notes } from "../notes.ts";
import {
  cageLink,
  curve,
  dot,
  errorList,
  errorsOf,
  faultOf,
  frame,
  panel,
  reloadList,
  reloadsOf,
  table,
  typeErrors,
} from "../parts.ts";
import type { Row, Seen } from "../watch.ts";
import type { Page } from "./page.ts";

export const overview: Page = {
  path: "/",
  title: () => "Overview",
  view: (seen) => html`${totals(seen)}${faults(seen.rows)}${notes(seen.rows, seen.at)}
    ${panel("Cages", `node ${seen.node}`, cages(seen))}
    <div class="columns">${panel("Last errors", "", errorList(errorsOf(seen.rows).slice(0, 8), seen.at))}
    ${panel("Last reloads", "", reloadList(reloadsOf(seen.rows).slice(0, 8), seen.at))}</div>`,
};

function totals({ rows }: Seen): Html {
  const started = rows.filter((row) => row.state !== "off");
  const sum = (of: (row: Row) => number) => rows.reduce((all, row) => all + of(row), 0);
  const slowest = Math.max(0, ...rows.map((row) => row.metrics?.total.recent.p99 ?? 0));
  const up = started.filter((row) => row.state === "ready").length;
  const failures = sum((row) => row.metrics?.total.failures60 ?? 0);
  const parked = sum((row) => row.retries?.parked ?? 0);
  return html`<div class="totals">
    ${figure("cages up", `${up} of ${started.length}`, up < started.length ? "bad" : "good")}
    ${figure("requests a second", rate(sum((row) => row.metrics?.total.rate10 ?? 0)), "")}
    ${figure("slowest cage's p99", ms(slowest), "")}
    ${figure("failures in a minute", count(failures), failures > 0 ? "bad" : "")}
    ${figure("retried calls waiting", count(sum((row) => (row.retries?.waiting ?? 0) + (row.retries?.running ?? 0))), "")}
    ${figure("parked", count(parked), parked > 0 ? "busy" : "")}</div>`;
}

const figure = (name: string, value: string, colour: string): Html =>
  html`<div class="figure"><b class="${colour}">${value}</b><span class="dim">${name}</span></div>`;

/** What a person must do something about. */
function faults(rows: readonly Row[]): Html {
  const wrong = rows.filter((row) => row.state === "failed" || row.state === "silent" || row.worker?.broken);
  return html`<div class="faults">${each(
    wrong,
    (row) => row.name,
    (row) => {
      const broken = row.worker?.broken;
      if (broken)
        return html`<section class="panel alarm busy"><header><h2>${row.name} serves its old code: the new does not load</h2></header>${frame(faultOf(broken), broken.frame)}</section>`;
      return html`<section class="panel alarm bad"><header><h2>${row.name} is ${row.state === "silent" ? "silent: it does not answer" : "stopped after too many crashes"}</h2></header>${frame(row.why, row.status?.stderr.join("\n") ?? "")}</section>`;
    },
  )}</div>`;
}

function cages({ rows, at }: Seen): Html {
  const heads = [
    "Cage",
    "Generation",
    "Requests a second",
    "p50",
    "p99",
    "Failures",
    "Retried calls",
    "Restarts",
    "Memory",
    "Up",
  ];
  return table(
    heads,
    each(
      rows,
      (row) => row.name,
      (
        row,
      ) => html`<tr class="${row.state === "off" ? "idle" : null}"><th scope="row">${dot(row)} ${cageLink(row.name)}<small>${address(row)}</small></th>
      <td>${generation(row, at)}</td><td class="rate">${row.metrics ? html`${curve(row.metrics.perSecond)}<b>${rate(row.metrics.total.rate10)}</b>` : nothing}</td>
      <td>${row.metrics ? took(row.metrics.total.recent, "p50") : nothing}</td><td>${row.metrics ? took(row.metrics.total.recent, "p99") : nothing}</td>
      <td class="${(row.metrics?.total.failures60 ?? 0) > 0 ? "bad" : ""}">${row.metrics ? count(row.metrics.total.failures60) : nothing}</td>
      <td>${retried(row)}</td><td>${restarts(row, at)}</td><td>${row.worker ? bytes(row.worker.rssBytes) : nothing}</td>
      <td>${row.worker ? span(row.worker.uptimeMs) : row.state}</td></tr>`,
    ),
  );
}

function address(row: Row): Html {
  const urls = (row.worker?.interfaces ?? []).flatMap(({ url }) => (url !== null && /^https?:/.test(url) ? [url] : []));
  return html`<span>${each(
    urls,
    (url) => url,
    (url) => {
      const probe = row.probes.find((one) => one.url === url);
      return html`<a class="${probe?.up === false ? "bad" : "dim"}" href="${url}" title="${probe?.why ?? ""}">${url.replace(/^https?:\/\//, "")}</a>`;
    },
  )}</span>`;
}

function generation(row: Row, now: number): Html {
  if (row.worker === undefined) return html`<span>${nothing}</span>`;
  const { broken, canary, held, types } = row.worker;
  const last = row.metrics?.reloads[0];
  const [text, colour] = broken
    ? ["reload failed", "bad"]
    : canary
      ? ["on trial", "busy"]
      : types.count > 0
        ? [typeErrors(types.count), "busy"]
        : held
          ? [`${held.of} again`, "busy"]
          : [last === undefined || last.trigger === "start" ? "" : ago(last.at, now), "dim"];
  return html`<span><b>${String(row.worker.generation)}</b> <small class="${colour}">${text}</small></span>`;
}

function retried(row: Row): Html {
  if (row.retries === undefined) return html`<span>${nothing}</span>`;
  const { waiting, running, parked, oldestAgeMs } = row.retries;
  if (waiting + running + parked === 0) return html`<span class="dim">none</span>`;
  return html`<a href="/retries">${count(waiting + running)} waiting${parked > 0 ? `, ${count(parked)} parked` : ""} <small class="dim">oldest ${span(oldestAgeMs)}</small></a>`;
}

function restarts(row: Row, now: number): Html {
  const { restarts = 0, lastExit } = row.status ?? {};
  if (restarts === 0) return html`<span class="dim">0</span>`;
  return html`<span title="${lastExit?.why ?? ""}"><b>${count(restarts)}</b> <small class="dim">${lastExit ? ago(lastExit.at, now) : ""}</small></span>`;
}
