/** The floor: the same page, concatenated by hand, on bare node:http. Prints its port. */
import { createServer } from "node:http";
import { model } from "./page.model.ts";

const unsafe = /[&<>"']/;
const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escape = (text: string): string =>
  unsafe.test(text) ? text.replace(/[&<>"']/g, (one) => entities[one] as string) : text;

const dates = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
const when = (at: number): string => {
  const date = new Date(at);
  return `<time datetime="${date.toISOString()}">${escape(dates.format(date))}</time>`;
};
const points = (n: number): string => `${n} ${n === 1 ? "point" : "points"}`;

type Post = (typeof model.posts)[number];

function way(value: number, path: string): string {
  return `<button class="plain way" name="value" value="${value}" aria-pressed="false" aria-label="Sign in to vote" title="Sign in to vote"><svg viewBox="0 0 16 16" aria-hidden="true"><path d="${path}"/></svg></button>`;
}

function post(p: Post): string {
  let body = "";
  for (const paragraph of p.body.split(/\n\s*\n/)) body += `<p>${escape(paragraph)}</p>`;
  let comments = "";
  for (const c of p.comments)
    comments += `<li k="${escape(c.id)}" s="forum/comment:${escape(c.id)}" class="comment"><p>${escape(c.body)}</p><p class="fine"><a href="/u/${encodeURIComponent(c.author.name)}">${escape(c.author.name)}</a> · ${when(c.at)}</p></li>`;
  const item = escape(p.rating.item);
  return (
    `<li k="${escape(p.id)}" s="forum/post:${escape(p.id)}" class="post" id="p${escape(p.id)}"><span class="face hue-3" aria-hidden="true">${escape(p.author.name[0] as string)}</span>` +
    `<article><p class="byline"><a class="name" href="/u/${encodeURIComponent(p.author.name)}">${escape(p.author.name)}</a><a class="fine" href="#p${escape(p.id)}" title="Link to this post">${when(p.at)}</a></p>` +
    `<div class="body">${body}</div><div class="rating"><form s="forum/vote:${item}" class="vote" method="post" action="/rate"><input type="hidden" name="item" value="${item}">` +
    `${way(1, "M8 3l5 7H3z")}${way(-1, "M8 13l5-7H3z")}</form><output s="forum/score:${item}" class="score  " title="${p.rating.up} for, ${p.rating.down} against">${points(p.rating.up - p.rating.down)}</output></div>` +
    `<section s="forum/comments:${item}" class="comments" aria-label="Comments"><ol s-list="comments">${comments}</ol></section></article></li>`
  );
}

function page(): string {
  const t = model.thread;
  let posts = "";
  for (const each of model.posts) posts += post(each);
  return (
    `<!doctype html><html lang="en" dir="ltr"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>${escape(t.title)} · Planet</title><link rel="stylesheet" href="/-/a/site.css" s-style="site"><link rel="icon" href="/-/icon.svg" type="image/svg+xml"><script type="module" src="/-/a/live.js"></script></head>` +
    `<body><a class="skip" href="#main">Skip to the content</a><header s="site/header:" class="bar" data-notices="0"><a class="brand" href="/" aria-label="Planet, to the front page"><svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><circle cx="16" cy="16" r="9"/><path d="M3 20c6 4 20 1 26-8" fill="none"/></svg><span>Planet</span></a><nav><a class="quiet" href="/sign-in">Sign in</a><a class="button" href="/sign-up">Join</a></nav></header>` +
    `<div class="page" id="main"><main s="forum/thread:${escape(t.id)}" s-channel="thread:${escape(t.id)}" class="thread last"><header class="head"><h1>${escape(t.title)}</h1><p class="fine">Started by <a href="/u/${encodeURIComponent(t.author.name)}">${escape(t.author.name)}</a> · ${when(t.at)}</p></header>` +
    `<ol class="posts card" s-list="posts">${posts}</ol><section s="forum/reply:${escape(t.id)}" class="reply card"><p><a href="/sign-in">Sign in</a> or <a href="/sign-up">join</a> to reply.</p></section></main></div>` +
    `<footer><p>Every page is complete without scripts; with them it stays live.</p></footer><script type="application/json" id="live">{}</script></body></html>`
  );
}

const server = createServer((_, response) => {
  const body = page();
  response.setHeader("content-type", "text/html; charset=utf-8");
  response.setHeader("content-length", Buffer.byteLength(body));
  response.end(body);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${(server.address() as { port: number }).port}\n`));
