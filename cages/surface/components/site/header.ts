/** The bar above every page: where one is, who one is, how many notices wait. Live: notices count up by themselves. */
import { html } from "#lib/template/html.ts";
import { component } from "../../context.ts";
import type { Notice } from "../../model.ts";
import { paths } from "../../paths.ts";
import { t } from "./text.ts";

export interface HeaderProps {
  /** Whose notices are counted: their channel tells when there are more. */
  readonly user: string | null;
  readonly notices: number;
}

export const Header = component<HeaderProps, { "notice.added": Notice }>("site/header", {
  key: (p) => p.user ?? "",
  channel: (p) => p.user && `person:${p.user}`,
  events: {
    // Events come once and in order, so counting from what is shown is safe; a lost place brings the true number.
    "notice.added": (_, live) =>
      live.set(Header, { user: live.key, notices: Number(live.element.getAttribute("data-notices")) + 1 }),
  },
  view: (p, cx) => html`
    <header class="bar" data-notices=${p.notices}>
      <a class="brand" href=${paths.front} aria-label=${t(cx).home()}>
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
          <circle cx="16" cy="16" r="9"/>
          <path d="M3 20c6 4 20 1 26-8" fill="none"/>
        </svg>
        <span>${t(cx).name()}</span>
      </a>
      <nav>
        ${
          cx.viewer
            ? html`
              <a class="quiet notices" href=${paths.notices}>
                ${t(cx).notices()}
                ${p.notices > 0 && html` <span class="badge" title=${t(cx).noticesNew({ n: p.notices })}>${p.notices}</span>`}
              </a>
              <a class="quiet" href=${paths.person(cx.viewer.name)}>${cx.viewer.name}</a>
              <form method="post" action=${paths.signOut}><button class="plain">${t(cx).signOut()}</button></form>`
            : html`
              <a class="quiet" href=${paths.signIn}>${t(cx).signIn()}</a>
              <a class="button" href=${paths.signUp}>${t(cx).signUp()}</a>`
        }
      </nav>
    </header>`,
});
