/** What others did that concerns the viewer. */
import { each, html } from "#lib/template/html.ts";
import { component } from "../../../context.ts";
import type { Notice as NoticeProps } from "../../../model.ts";
import { paths } from "../../../paths.ts";
import { face } from "../../site/face.ts";
import { when } from "../../site/when.ts";
import { t } from "./text.ts";

export interface NoticesProps {
  readonly user: string;
  readonly notices: readonly NoticeProps[];
}

export const Notice = component<NoticeProps>("people/notice", {
  key: (p) => p.id,
  view: (p, cx) => {
    const say = p.kind === "reply" ? t(cx).reply : t(cx).other;
    return html`
      <li class="row ${!p.seen && "unseen"}">
        ${face(p.by)}
        <div>
          <p>${say.rich(html, {
            name: p.by.name,
            title: p.title,
            who: (text) => html`<a href=${paths.person(p.by.name)}>${text}</a>`,
            thread: (text) => html`<a href=${paths.thread(p.thread)}>${text}</a>`,
          })}</p>
          <p class="fine">${when(p.at, cx)}</p>
        </div>
        ${!p.seen && html`<span class="badge">${t(cx).new()}</span>`}
      </li>`;
  },
});

export const Notices = component<NoticesProps, { "notice.added": NoticeProps }>("people/notices", {
  key: (p) => p.user,
  channel: (p) => `person:${p.user}`,
  events: { "notice.added": (notice, live) => live.list("notices").add(Notice, notice, { first: true }) },
  view: (p, cx) => html`
    <main class="notices">
      <header class="head"><h1>${t(cx).title()}</h1></header>
      <ol class="rows card" s-list="notices">${each(p.notices, (notice) => notice.id, Notice)}</ol>
      <p class="empty none">${t(cx).none()}</p>
    </main>`,
});
