/** The form for one more post in a thread; visitors are shown the way in. */
import { html } from "#lib/template/html.ts";
import { component } from "../../../context.ts";
import { paths } from "../../../paths.ts";
import { area } from "../../site/field.ts";
import { t } from "./text.ts";

export interface ReplyProps {
  readonly thread: string;
  readonly body?: string;
  readonly error?: string | undefined;
}

export const Reply = component<ReplyProps>("forum/reply", {
  key: (p) => p.thread,
  view: (p, cx) => html`
    <section class="reply card">
      ${
        cx.viewer
          ? html`
            <form method="post" action=${paths.reply(p.thread)}>
              <input type="hidden" name="once" value="${cx.once}-r">
              ${area({ id: "reply-body", name: "body", label: t(cx).label(), rows: 4, maxlength: 10_000, value: p.body, error: p.error })}
              <button>${t(cx).send()}</button>
            </form>`
          : html`<p>${t(cx).signIn.rich(html, {
              in: (text) => html`<a href=${paths.signIn}>${text}</a>`,
              up: (text) => html`<a href=${paths.signUp}>${text}</a>`,
            })}</p>`
      }
    </section>`,
});
