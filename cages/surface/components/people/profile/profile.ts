/** A person's page: who they are, what others think, what they started. */
import { each, html } from "#lib/template/html.ts";
import { component } from "../../../context.ts";
import type { Profile as ProfileProps } from "../../../model.ts";
import { ThreadRow } from "../../forum/front/row.ts";
import { rating, Score, type ScoreProps } from "../../forum/rating/rating.ts";
import { face } from "../../site/face.ts";
import { t } from "./text.ts";

export const Profile = component<ProfileProps, { "rating.changed": ScoreProps }>("people/profile", {
  key: (p) => p.person.id,
  channel: (p) => `profile:${p.person.id}`,
  events: { "rating.changed": ({ item, up, down }, live) => live.set(Score, { item, up, down }) },
  view: (p, cx) => html`
    <main class="profile">
      <header class="head who">
        ${face(p.person)}
        <div>
          <h1>${p.person.name}</h1>
          <p class="fine">${t(cx).since({ at: p.since })}</p>
        </div>
        ${rating(p.rating)}
      </header>
      <h2>${t(cx).threads()}</h2>
      <ol class="rows card" s-list="threads">${each(p.threads, (thread) => thread.id, ThreadRow)}</ol>
      <p class="empty none">${t(cx).none({ name: p.person.name })}</p>
    </main>`,
});
