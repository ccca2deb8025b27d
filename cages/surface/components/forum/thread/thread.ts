/** A thread's page: its posts, live, and the form for one more. */
import { each, html } from "#lib/template/html.ts";
import { component } from "../../../context.ts";
import type { Comment as CommentProps, Post as PostProps, ThreadPage } from "../../../model.ts";
import { paths } from "../../../paths.ts";
import { when } from "../../site/when.ts";
import { Comment, Comments } from "../comments/comments.ts";
import { Post } from "../post/post.ts";
import { Score, type ScoreProps } from "../rating/rating.ts";
import { Reply } from "../reply/reply.ts";
import { t } from "./text.ts";

export interface ThreadProps extends ThreadPage {
  /** Posts before these are on other pages. */
  readonly after?: string | undefined;
}

/** What Core tells on `thread:ID`. */
interface Events {
  "post.added": PostProps;
  "rating.changed": ScoreProps;
  "comment.added": CommentProps;
}

export const Thread = component<ThreadProps, Events>("forum/thread", {
  key: (p) => p.thread.id,
  channel: (p) => `thread:${p.thread.id}`,
  events: {
    // Only the last page grows: on another, a new post belongs further on.
    "post.added": (post, live) => live.element.matches(".last") && live.list("posts").add(Post, post),
    "rating.changed": ({ item, up, down }, live) => live.set(Score, { item, up, down }),
    "comment.added": (comment, live) => live.at(Comments, comment.item).list("comments").add(Comment, comment),
  },
  view: (p, cx) => html`
    <main class="thread ${p.next === undefined && "last"}">
      <header class="head">
        <h1>${p.thread.title}</h1>
        <p class="fine">
          ${t(cx).by.rich(html, { name: p.thread.author.name, author: (name) => html`<a href=${paths.person(p.thread.author.name)}>${name}</a>` })} ·
          ${when(p.thread.at, cx)}
          ${p.after !== undefined && html` · <a href=${paths.thread(p.thread.id)}>${t(cx).first()}</a>`}
        </p>
      </header>
      <ol class="posts card" s-list="posts">${each(p.posts, (post) => post.id, Post)}</ol>
      ${
        p.next === undefined
          ? Reply({ thread: p.thread.id })
          : html`<p><a class="button" href=${paths.thread(p.thread.id, p.next)}>${t(cx).more()}</a></p>`
      }
    </main>`,
});
