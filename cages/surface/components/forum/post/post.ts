/** One post of a thread. */
import { each, type Html, html } from "#lib/template/html.ts";
import { component } from "../../../context.ts";
import type { Post as PostProps } from "../../../model.ts";
import { paths } from "../../../paths.ts";
import { face } from "../../site/face.ts";
import { when } from "../../site/when.ts";
import { Comments } from "../comments/comments.ts";
import { rating } from "../rating/rating.ts";
import { t } from "./text.ts";

export const Post = component<PostProps>("forum/post", {
  key: (p) => p.id,
  view: (p, cx) => html`
    <li class="post" id="p${p.id}">
      ${face(p.author)}
      <article>
        <p class="byline">
          <a class="name" href=${paths.person(p.author.name)}>${p.author.name}</a>
          <a class="fine" href="#p${p.id}" title=${t(cx).link()}>${when(p.at, cx)}</a>
        </p>
        <div class="body">${each(paragraphs(p.body), null, paragraph)}</div>
        ${rating(p.rating)}
        ${Comments({ item: `post:${p.id}`, comments: p.comments })}
      </article>
    </li>`,
});

/** An empty line begins a paragraph; single line breaks are kept by the style. */
const paragraphs = (body: string): string[] => body.split(/\n\s*\n/).filter((text) => text.trim() !== "");

const paragraph = (text: string): Html => html`<p>${text}</p>`;
