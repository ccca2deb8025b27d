/**
 * The 50-post thread page as one would write it by hand for speed: concatenation, escaping, formatters and their results
 * kept; bare node:http. Plain JavaScript, run by plain node: `node hand.mjs MODEL.json` prints its port.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const { before, after, thread, posts } = JSON.parse(readFileSync(process.argv[2], "utf8"));

const special = /[&<>"']/;
const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const esc = (text) => (special.test(text) ? text.replace(/[&<>"']/g, (char) => entities[char]) : text);

const date = new Intl.DateTimeFormat("en", { timeZone: "UTC", dateStyle: "medium" });
const time = new Intl.DateTimeFormat("en", { timeZone: "UTC", timeStyle: "short" });
const shown = new Map();
function when(at) {
  let text = shown.get(at);
  if (text === undefined) {
    text = `<time datetime="${new Date(at).toISOString()}">${date.format(at)}, ${time.format(at)}</time>`.replaceAll(
      "\u202f",
      "\u00a0",
    );
    if (shown.size > 500) shown.clear();
    shown.set(at, text);
  }
  return text;
}
const person = (name) => `/u/${encodeURIComponent(name)}`;
const rules = new Intl.PluralRules("en");
const points = (n) => `${n} ${rules.select(n) === "one" ? "point" : "points"}`;

function face(name) {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) % 9973;
  const [first = "?"] = [...name];
  return `<span class="face hue-${sum % 8}" aria-hidden="true">${esc(first.toUpperCase())}</span>`;
}
const way = (mine, value) => {
  const label = mine === value ? "Take the vote back" : value === 1 ? "Vote for" : "Vote against";
  return `<button class="plain way" name="value" value="${mine === value ? 0 : value}" aria-pressed="${mine === value}" aria-label="${label}" title="${label}"><svg viewBox="0 0 16 16" aria-hidden="true"><path d="${value === 1 ? "M8 3l5 7H3z" : "M8 13l5-7H3z"}"/></svg></button>`;
};
function comment({ author, body, at }) {
  return `<li class="comment"><p>${esc(body)}</p><p class="fine"><a href="${esc(person(author.name))}">${esc(author.name)}</a> · ${when(at)}</p></li>`;
}
function post({ id, author, body, at, rating: { item, up, down, mine }, comments }) {
  let out = `<li class="post" id="p${esc(id)}">${face(author.name)}<article><p class="byline"><a class="name" href="${esc(person(author.name))}">${esc(author.name)}</a><a class="fine" href="#p${esc(id)}" title="Link to this post">${when(at)}</a></p><div class="body">`;
  for (const text of body.split(/\n\s*\n/)) if (text.trim() !== "") out += `<p>${esc(text)}</p>`;
  out += `</div><div class="rating"><form class="vote" method="post" action="/rate"><input type="hidden" name="item" value="${esc(item)}">${way(mine, 1)}${way(mine, -1)}</form>`;
  out += `<output class="score ${up > down ? "liked" : ""} ${up < down ? "disliked" : ""}" title="${up} for, ${down} against">${points(up - down)}</output></div><section class="comments" aria-label="Comments"><ol>`;
  for (const each of comments) out += comment(each);
  return `${out}</ol><details class="comment-form"><summary>Comment</summary><form method="post" action="/comment"><input type="hidden" name="item" value="${esc(item)}"><input type="hidden" name="once" value="bench-${esc(item)}"><textarea name="body" rows="2" maxlength="1000" required aria-label="Write a comment" placeholder="Write a comment">\n</textarea><button class="small">Send</button></form></details></section></article></li>`;
}
function page() {
  let out = `${before}<main class="thread last"><header class="head"><h1>${esc(thread.title)}</h1><p class="fine">Started by <a href="${esc(person(thread.author.name))}">${esc(thread.author.name)}</a> · ${when(thread.at)}</p></header><ol class="posts card">`;
  for (const each of posts) out += post(each);
  return `${out}</ol><section class="reply card"><form method="post" action="/t/${esc(thread.id)}/reply"><input type="hidden" name="once" value="bench-r"><div class="field"><label for="reply-body">Your reply</label><textarea id="reply-body" name="body" rows="4" maxlength="10000" required>\n</textarea></div><button>Reply</button></form></section></main>${after}`;
}

const server = createServer((_, response) => {
  const body = page();
  response.writeHead(200, { "content-type": "text/html; charset=utf-8", "content-length": Buffer.byteLength(body) });
  response.end(body);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));
