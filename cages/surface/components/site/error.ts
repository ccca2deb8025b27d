/** The page for what went wrong: what it is, and a way on. */
import { html } from "#lib/template/html.ts";
import { component } from "../../context.ts";
import { paths } from "../../paths.ts";
import { t } from "./text.ts";

export interface ErrorProps {
  readonly status: number;
  readonly code: string;
  /** A sentence that the one who refused meant for people. */
  readonly message?: string | undefined;
}

export const ErrorPage = component<ErrorProps>("site/error", {
  key: (p) => p.code,
  view: (p, cx) => {
    const say = t(cx);
    const sentence =
      p.status === 404
        ? say.notFound()
        : p.status === 503 || p.status === 504 || p.status === 502
          ? say.unavailable()
          : say.failed();
    return html`
      <main class="empty">
        <p class="big" aria-hidden="true">${p.status}</p>
        <h1>${p.status === 404 ? say.notFoundTitle() : say.errorTitle()}</h1>
        <p>${p.message ?? sentence}</p>
        <p><a class="button" href=${paths.front}>${say.back()}</a></p>
        <p class="fine">${say.code({ code: p.code })}</p>
      </main>`;
  },
});
