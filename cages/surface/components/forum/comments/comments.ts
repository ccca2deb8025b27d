/** The comments of an item, and the form for one more. */
import { each, html } from "#lib/template/html.ts";
import { component } from "../../../context.ts";
import type { Comment as CommentProps } from "../../../model.ts";
import { paths } from "../../../paths.ts";
import { when } from "../../site/when.ts";
import { t } from "./text.ts";

export const Comment = component<CommentProps>("forum/comment", {
  key: (p) => p.id,
  view: (p, cx) => html`
    <li class="comment">
      <p>${p.body}</p>
      <p class="fine"><a href=${paths.person(p.author.name)}>${p.author.name}</a> · ${when(p.at, cx)}</p>
    </li>`,
});

export interface CommentsProps {
  readonly item: string;
  readonly comments: readonly CommentProps[];
}

export const Comments = component<CommentsProps>("forum/comments", {
  key: (p) => p.item,
  view: (p, cx) => html`
    <section class="comments" aria-label=${t(cx).list()}>
      <ol s-list="comments">${each(p.comments, (comment) => comment.id, Comment)}</ol>
      ${cx.viewer && CommentForm({ item: p.item })}
    </section>`,
});

export interface CommentFormProps {
  readonly item: string;
  readonly body?: string;
  readonly error?: string | undefined;
}

export const CommentForm = component<CommentFormProps>("forum/comment-form", {
  key: (p) => p.item,
  view: (p, cx) => html`
    <details class="comment-form" ?open=${p.error !== undefined}>
      <summary>${t(cx).comment()}</summary>
      <form method="post" action=${paths.comment}>
        <input type="hidden" name="item" value=${p.item}>
        <input type="hidden" name="once" value="${cx.once}-${p.item}">
        <textarea name="body" rows="2" maxlength="1000" required aria-label=${t(cx).write()} placeholder=${t(cx).write()}>${p.body}</textarea>
        ${p.error !== undefined && html`<p class="wrong" role="alert">${p.error}</p>`}
        <button class="small">${t(cx).send()}</button>
      </form>
    </details>`,
});
