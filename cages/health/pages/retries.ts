/** Retried calls that are not done: why they wait, when they are tried next, and the verbs that mend it. */

import { each, type Html, html } from "#lib/template/html.ts";
import { type CallView, operator } from "#runtime";
import { ago, count, nothing, span } from "../figures.ts";
import { empty, panel, table } from "../parts.ts";
import type { Row } from "../watch.ts";
import type { Page } from "./page.ts";

const perState = 50;

export const retries: Page = {
  path: "/retries",
  title: () => "Retried calls",
  async view(seen) {
    const open = seen.rows.filter(
      (row) => row.retries && row.retries.waiting + row.retries.running + row.retries.parked > 0,
    );
    const lists = await Promise.all(open.map((row) => calls(row.name)));
    if (open.length === 0) return html`${panel("Retried calls", "", empty("None wait: all were delivered."))}`;
    return html`<div>${each(
      open,
      (row) => row.name,
      (row, at) => ofCage(row, lists[at] ?? [], seen.at),
    )}</div>`;
  },
};

/** Parked ones first: they wait for a person. */
async function calls(cage: string): Promise<CallView[]> {
  const pages = await Promise.all(
    ["parked", "running", "waiting"].map(async (state) => {
      const page = await operator.ask(cage, "retries.list", { state, limit: perState }).catch(() => undefined);
      return (page as { calls: CallView[] } | undefined)?.calls ?? [];
    }),
  );
  return pages.flat();
}

function ofCage(row: Row, list: readonly CallView[], now: number): Html {
  const { waiting = 0, running = 0, parked = 0 } = row.retries ?? {};
  const bulk =
    parked > 0 ? button(row.name, "retries.release", `Release all ${count(parked)} parked`, { state: "parked" }) : null;
  return html`<section class="panel"><header><h2>From ${row.name}</h2><span class="dim">${count(waiting)} waiting, ${count(running)} running, ${count(parked)} parked</span>${bulk}</header>
    ${table(
      ["Call", "State", "Attempts", "Next", { text: "Last error" }, "Age", ""],
      each(
        list,
        (call) => call.id,
        (call) => html`<tr><th scope="row">${call.to}.${call.path}<small class="dim">${call.id}</small></th>
        <td class="${call.state === "parked" ? "bad" : null}">${call.state}</td><td>${count(call.attempts)}</td><td>${call.state === "waiting" ? (call.nextAt <= now ? "now" : `in ${span(call.nextAt - now)}`) : nothing}</td>
        <td class="text">${call.error ? `${call.error.code}: ${call.error.message}` : nothing}</td><td>${ago(call.createdAt, now)}</td><td class="verbs">${verbs(row.name, call)}</td></tr>`,
      ),
    )}</section>`;
}

function verbs(cage: string, call: CallView): Html {
  const id = { id: call.id };
  return call.state === "parked"
    ? html`<span>${button(cage, "retries.release", "Release", id)}${button(cage, "retries.discard", "Discard", id)}</span>`
    : html`<span>${button(cage, "retries.run", "Run now", id)}${button(cage, "retries.park", "Park", id)}</span>`;
}

const button = (cage: string, verb: string, label: string, about: { id?: string; state?: string }): Html =>
  html`<form method="post" action="/do"><input type="hidden" name="verb" value="${verb}"><input type="hidden" name="cage" value="${cage}">
    <input type="hidden" name="id" value="${about.id ?? ""}"><input type="hidden" name="state" value="${about.state ?? ""}"><button>${label}</button></form>`;
