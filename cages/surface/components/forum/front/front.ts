/** The front page: threads by their last activity, live, and the form to start one. */
import { each, html } from "#lib/template/html.ts";
import { component } from "../../../context.ts";
import type { Thread } from "../../../model.ts";
import { paths } from "../../../paths.ts";
import { area, field } from "../../site/field.ts";
import { ThreadRow } from "./row.ts";
import { t } from "./text.ts";

export interface FrontProps {
  readonly threads: readonly Thread[];
  /** Where older threads begin. */
  readonly next?: string | undefined;
  readonly before?: string | undefined;
}

export const Front = component<FrontProps, { "thread.changed": Thread }>("forum/front", {
  key: (p) => p.before ?? "",
  channel: (p) => (p.before === undefined ? "front" : null),
  events: { "thread.changed": (thread, live) => live.list("threads").add(ThreadRow, thread, { first: true }) },
  view: (p, cx) => html`
    <main class="front">
      <header class="head">
        <h1>${t(cx).title()}</h1>
        <p class="fine">${t(cx).lead()}</p>
      </header>
      ${StartForm({})}
      <ol class="rows card" s-list="threads">${each(p.threads, (thread) => thread.id, ThreadRow)}</ol>
      <div class="empty none"><p class="big" aria-hidden="true">◌</p><p>${t(cx).none()}</p><p class="fine">${t(cx).noneHint()}</p></div>
      ${p.next !== undefined && html`<p><a class="button" href="/?before=${p.next}">${t(cx).more()}</a></p>`}
    </main>`,
});

export interface StartProps {
  readonly title?: string;
  readonly body?: string;
  readonly error?: string | undefined;
  readonly errors?: Readonly<Record<string, string>> | undefined;
}

export const StartForm = component<StartProps>("forum/start", {
  key: () => "",
  view: (p, cx) => html`
    <section class="start">
      ${
        cx.viewer
          ? html`
            <details class="card" ?open=${p.error !== undefined}>
              <summary>${t(cx).start()}</summary>
              <form method="post" action=${paths.start}>
                <input type="hidden" name="once" value="${cx.once}-t">
                ${p.error !== undefined && html`<p class="wrong" role="alert">${p.error}</p>`}
                ${field({ id: "start-title", name: "title", label: t(cx).threadTitle(), maxlength: 200, value: p.title, error: p.errors?.["title"] })}
                ${area({ id: "start-body", name: "body", label: t(cx).body(), rows: 5, maxlength: 10_000, value: p.body, error: p.errors?.["body"] })}
                <button>${t(cx).send()}</button>
              </form>
            </details>`
          : html`<p class="fine">${t(cx).signIn.rich(html, {
              in: (text) => html`<a href=${paths.signIn}>${text}</a>`,
              up: (text) => html`<a href=${paths.signUp}>${text}</a>`,
            })}</p>`
      }
    </section>`,
});
