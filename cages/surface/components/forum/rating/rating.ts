/**
 * The rating of an item: what all think (told to everybody as it changes), and the viewer's own vote (theirs alone, so never
 * part of what is told to all). Two roots for two truths.
 */
import { type Html, html } from "#lib/template/html.ts";
import { component } from "../../../context.ts";
import type { Rating } from "../../../model.ts";
import { paths } from "../../../paths.ts";
import { t } from "./text.ts";

export interface ScoreProps {
  readonly item: string;
  readonly up: number;
  readonly down: number;
}

export const Score = component<ScoreProps>("forum/score", {
  key: (p) => p.item,
  view: (p, cx) => html`
    <output class="score ${p.up > p.down && "liked"} ${p.up < p.down && "disliked"}" title=${t(cx).detail({ up: p.up, down: p.down })}>
      ${t(cx).score({ n: p.up - p.down })}
    </output>`,
});

export interface VoteProps {
  readonly item: string;
  readonly mine: number;
}

/** Pressed again, a vote is taken back. */
export const Vote = component<VoteProps>("forum/vote", {
  key: (p) => p.item,
  view: (p, cx) => {
    const say = t(cx);
    const up = p.mine === 1;
    const down = p.mine === -1;
    const upLabel = !cx.viewer ? say.signIn() : up ? say.undo() : say.up();
    const downLabel = !cx.viewer ? say.signIn() : down ? say.undo() : say.down();
    return html`
      <form class="vote" method="post" action=${paths.rate}>
        <input type="hidden" name="item" value=${p.item}>
        <button class="plain way" name="value" value=${up ? 0 : 1} aria-pressed=${up ? "true" : "false"} aria-label=${upLabel} title=${upLabel}>
          <svg viewBox="0 0 16 16" aria-hidden="true"><path d="M8 3l5 7H3z"/></svg>
        </button>
        <button class="plain way" name="value" value=${down ? 0 : -1} aria-pressed=${down ? "true" : "false"} aria-label=${downLabel} title=${downLabel}>
          <svg viewBox="0 0 16 16" aria-hidden="true"><path d="M8 13l5-7H3z"/></svg>
        </button>
      </form>`;
  },
});

export const rating = (r: Rating): Html => html`
  <div class="rating">
    ${Vote({ item: r.item, mine: r.mine ?? 0 })}
    ${Score({ item: r.item, up: r.up, down: r.down })}
  </div>`;
