/**
 * Forms that post to this site, sent in the background: `take` gets the answer. Each act goes under a key of its own
 * (`idempotency-key`), the same when it is tried again after a failure, so that a server can do it once.
 *
 * One act of a form at a time. Sent again with the same content meanwhile it is a double click, and ignored; with other content
 * it is the next act, and goes when this one is answered. What was typed in the meantime is never emptied.
 */
export interface Sent {
  /** The form did its work: empty it. */
  readonly reset?: boolean;
}

export interface FormsOptions<Answer extends Sent> {
  /** What is asked for in `accept`. What is answered in another type is a page, and the form is sent the plain way for it. */
  readonly type: string;
  take(answer: Answer): void;
  failed(error: unknown): void;
  readonly signal: AbortSignal;
}

interface Attempt {
  readonly body: string;
  readonly key: string;
}

const bodyOf = (form: HTMLFormElement, submitter: HTMLElement | null): string => {
  const body = new URLSearchParams();
  for (const [name, value] of new FormData(form, submitter)) if (typeof value === "string") body.append(name, value);
  return String(body);
};

/** Not randomUUID: that is only there on secure origins. */
const keyed = (): string => [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("");

export function sendForms<Answer extends Sent>(options: FormsOptions<Answer>): void {
  /** What a form last sent, until it was answered. */
  const attempts = new WeakMap<HTMLFormElement, Attempt>();
  /** Forms that were sent again while they were busy. */
  const waiting = new WeakMap<HTMLFormElement, HTMLElement | null>();

  async function send(form: HTMLFormElement, submitter: HTMLElement | null): Promise<void> {
    // A field may be named "action" and hide the property: attributes cannot be hidden.
    const action = submitter?.getAttribute("formaction") ?? form.getAttribute("action") ?? location.href;
    const body = bodyOf(form, submitter);
    const before = attempts.get(form);
    const attempt = before?.body === body ? before : { body, key: keyed() };
    attempts.set(form, attempt);
    form.setAttribute("s-busy", "");
    form.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(action, {
        method: "POST",
        body: new URLSearchParams(body),
        headers: { accept: options.type, "idempotency-key": attempt.key },
        signal: options.signal,
      });
      if (!response.headers.get("content-type")?.startsWith(options.type)) {
        form.setAttribute("s-plain", "");
        form.requestSubmit(submitter);
        return;
      }
      const answer = (await response.json()) as Answer;
      attempts.delete(form);
      if (answer.reset && bodyOf(form, submitter) === body) form.reset();
      options.take(answer);
    } finally {
      form.removeAttribute("s-busy");
      form.removeAttribute("aria-busy");
      const next = waiting.get(form);
      if (waiting.delete(form) && form.isConnected) form.requestSubmit(next);
    }
  }

  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target as HTMLFormElement;
      const ours = form.getAttribute("method")?.toLowerCase() === "post" && !form.hasAttribute("s-plain");
      if (event.defaultPrevented || !ours || form.querySelector('input[type="file"]') !== null) return;
      event.preventDefault();
      if (!form.hasAttribute("s-busy")) send(form, event.submitter).catch(options.failed);
      else if (attempts.get(form)?.body !== bodyOf(form, event.submitter)) waiting.set(form, event.submitter);
    },
    { signal: options.signal },
  );
}
