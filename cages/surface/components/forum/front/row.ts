/** A thread in a list of threads. */
import { html } from "#lib/template/html.ts";
import { component } from "../../../context.ts";
import type { Thread } from "../../../model.ts";
import { paths } from "../../../paths.ts";
import { face } from "../../site/face.ts";
import { when } from "../../site/when.ts";
import { t } from "./text.ts";

export const ThreadRow = component<Thread>("forum/row", {
  key: (p) => p.id,
  view: (p, cx) => html`
    <li class="row">
      ${face(p.author)}
      <div>
        <a class="title" href=${paths.thread(p.id)}>${p.title}</a>
        <p class="fine">${t(cx).by({ name: p.author.name })} · ${when(p.lastAt, cx)}</p>
      </div>
      <span class="count">${t(cx).posts({ n: p.posts })}</span>
    </li>`,
});
