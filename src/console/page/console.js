// The console's page. Everything that comes from a caller is put in as text; the page's policy forbids markup from text.
"use strict";

const by = (id) => document.getElementById(id);
const KEPT = 60;

/** The token, in this tab's memory alone. */
let token = "";
/** Ends the stream of this sign-in. */
let leaving = null;
/** The cards of approvals, by id: they stay in place, so that what is typed into them does. */
const cards = new Map();
let approver = null;

function make(name, text, className) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

/** Text in the escaped form, with its codes marked: a doubled `\\` is no code. */
function fill(node, text) {
  node.replaceChildren();
  for (const [part] of text.matchAll(/\\\\|\\u\{[0-9a-f]+\}|[^\\]+|\\/g)) {
    if (part.startsWith("\\u")) {
      const code = make("mark", part);
      code.title = "a character that is not plain ASCII";
      node.append(code);
    } else node.append(part);
  }
  return node;
}

function ask(path, init = {}) {
  const headers = { ...init.headers, Authorization: `Bearer ${token}` };
  return fetch(path, { ...init, headers, credentials: "omit", cache: "no-store", redirect: "error" });
}

async function problem(response) {
  const body = await response.json().catch(() => null);
  return body?.error?.message ?? `the console answered ${response.status}`;
}

// --- signing in, and the stream ---

by("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = by("token").value.trim();
  by("token").value = "";
  by("sign-in-problem").textContent = "";
  leaving?.abort();
  leaving = new AbortController();
  try {
    // of anything but ASCII the browser would say less
    if (!/^[\x21-\x7e]+$/.test(token)) throw new Error("this is no token");
    const response = await open_stream(leaving.signal);
    by("sign-in").hidden = true;
    by("board").hidden = by("leave").hidden = false;
    by("pending-title").focus();
    follow(response, leaving.signal);
  } catch (error) {
    token = "";
    by("sign-in-problem").textContent = error.message;
    by("token").focus();
  }
});

by("leave").addEventListener("click", () => sign_out(""));

function sign_out(why) {
  leaving?.abort();
  token = "";
  approver = null;
  cards.clear();
  for (const id of ["pending", "ended", "health"]) by(id).replaceChildren();
  for (const id of ["limits", "refusals", "decisions"]) {
    by(id).tBodies[0].replaceChildren();
    shows(id, false);
  }
  for (const id of ["who", "live", "told", "decisions-skipped"]) by(id).textContent = "";
  by("board").hidden = by("leave").hidden = true;
  by("sign-in").hidden = false;
  by("sign-in-problem").textContent = why;
  by("token").focus();
}

/** Asks for events; fails with a sentence for people. */
async function open_stream(signal) {
  let response;
  try {
    response = await ask("/events", { signal });
  } catch {
    throw new Error("the console does not answer");
  }
  if (!response.ok) {
    const error = new Error(await problem(response));
    error.final = response.status === 401;
    throw error;
  }
  return response;
}

async function follow(first, signal) {
  let response = first;
  for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 10_000)) {
    if (response) {
      wait = 500;
      by("live").textContent = "live";
      await read(response, signal).catch(() => {});
      response = null;
      if (signal.aborted) return;
    }
    by("live").textContent = "not connected; trying again";
    await new Promise((done) => setTimeout(done, wait));
    if (signal.aborted) return;
    try {
      response = await open_stream(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error.final) return sign_out(error.message);
    }
  }
}

async function read(response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { done, value } = await reader.read();
    if (done || signal.aborted) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const lines = text.slice(0, end).split("\n");
      const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      shown[field("event")]?.(JSON.parse(field("data")));
    }
  }
}

// --- what events show ---

const shown = {
  hello(data) {
    approver = data.approver;
    // decisions come anew with each stream
    for (const id of ["refusals", "decisions"]) by(id).tBodies[0].replaceChildren();
    by("who").textContent = `${approver.label ?? approver.id} (${approver.role}) at ${data.replica}, ${data.version}`;
  },
  approvals(data) {
    if (!data.approvals) return void (by("live").textContent = `live, but the approvals cannot be read (${data.error})`);
    by("live").textContent = "live";
    const known = new Set();
    for (const [place, wanted] of [["pending", true], ["ended", false]]) {
      const list = data.approvals.filter((item) => (item.state === "pending") === wanted);
      for (const item of list) {
        known.add(item.id);
        put(item, by(place));
      }
      by(`${place}-none`).hidden = list.length > 0;
    }
    for (const [id, card] of cards) if (!known.has(id)) (card.node.remove(), cards.delete(id));
    const waiting = data.approvals.filter((item) => item.state === "pending").length;
    // a link from a message names one
    const named = cards.get(location.hash.slice(1));
    if (named) {
      history.replaceState(null, "", location.pathname);
      named.node.tabIndex = -1;
      named.node.focus();
    }
    document.title = waiting ? `(${waiting}) toolgate console` : "toolgate console";
  },
  decisions(data) {
    for (const item of data.decisions) {
      const time = new Date(item.time).toLocaleTimeString();
      const row = [time, item.grant, item.server, item.tool ?? item.method, item.outcome];
      add_row("decisions", row, item.outcome);
      if (item.outcome === "allowed") continue;
      const why = [item.rule, item.message].filter(Boolean).join(": ");
      add_row("refusals", [time, item.grant, item.tool ?? item.method, item.outcome, why], item.outcome);
    }
    by("decisions-skipped").textContent = data.skipped ? `${data.skipped} more came at once and are not shown.` : "";
  },
  limits(data) {
    const body = by("limits").tBodies[0];
    body.replaceChildren(...data.limits.map(limit_row));
    shows("limits", data.limits.length > 0);
    const none = data.unknown ? "The store does not answer." : "No limit of a grant in the file.";
    by("limits-none").textContent = data.left_out ? `${data.left_out} more are not shown.` : none;
    by("limits-none").hidden = !data.unknown && !data.left_out && data.limits.length > 0;
  },
  health(data) {
    const good = new Set(["up", "current", "on_demand"]);
    const parts = [["the store", data.store], ["policies and grants", data.policies]];
    parts.push(...data.servers.map((server) => [`server ${server.name}`, server.state]));
    by("health").replaceChildren(...parts.map(([name, word]) => {
      const tile = make("li");
      tile.append(make("b", word, good.has(word) ? "good" : "bad"), name);
      return tile;
    }));
  },
};

function shows(id, any) {
  by(id).hidden = !any;
  by(`${id}-none`).hidden = any;
}

function add_row(id, cells, outcome) {
  const body = by(id).tBodies[0];
  const row = make("tr");
  for (const [at, text] of cells.entries()) {
    const cell = fill(make("td"), text);
    if (text === outcome) cell.className = outcome === "allowed" ? "good" : "bad";
    else if (at === cells.length - 1) cell.className = "wrap";
    row.append(cell);
  }
  body.prepend(row);
  while (body.rows.length > KEPT) body.lastChild.remove();
  shows(id, true);
}

function limit_row(limit) {
  const row = make("tr");
  for (const text of [limit.grant, limit.counter, limit.window, limit.scope]) row.append(make("td", text));
  row.append(make("td", String(limit.used), "number"));
  const cell = make("td", `${limit.max} ${limit.shadow ? "(shadow) " : ""}`);
  const bar = make("meter");
  Object.assign(bar, { max: limit.max, high: limit.max * 0.8, optimum: 0, value: limit.used });
  bar.setAttribute("aria-label", `${limit.counter} of ${limit.grant}: ${limit.used} of ${limit.max} used`);
  cell.append(bar);
  row.append(cell);
  return row;
}

// --- approvals ---

/** Puts the card of an approval into its place, or changes what is there. */
function put(item, place) {
  let card = cards.get(item.id);
  const text = JSON.stringify(item);
  if (card?.text === text && card.node.parentNode === place) return;
  // what is being typed, or read, stays
  const typed = card?.reason?.value ?? "";
  const focused = card?.node.contains(document.activeElement) ? document.activeElement.dataset.part : null;
  const node = item.state === "pending" ? pending_card(item) : ended_card(item);
  node.dataset.id = item.id;
  node.dataset.state = item.state;
  if (card && card.node.parentNode === place) card.node.replaceWith(node);
  else {
    card?.node.remove();
    place.append(node);
  }
  card = { text, node, reason: node.querySelector("input") };
  if (card.reason) card.reason.value = typed;
  if (focused) node.querySelector(`[data-part="${focused}"]`)?.focus();
  cards.set(item.id, card);
}

function title(item, level) {
  const heading = make(level);
  fill(heading, `${item.shown.tool} on ${item.shown.server}`);
  return heading;
}

// An id that looks the same may be another grant's.
function asker(item) {
  return item.grant_key ? `${item.shown.grant} (${item.grant_key})` : item.shown.grant;
}

function pending_card(item) {
  const node = make("article");
  const heading = title(item, "h3");
  heading.id = `title-${item.id}`;
  node.setAttribute("aria-labelledby", heading.id);
  const who = fill(make("p"), `asked by ${asker(item)}, expires `);
  who.append(make("time", new Date(item.expires).toLocaleTimeString()));
  who.lastChild.dateTime = item.expires;
  who.lastChild.dataset.expires = item.expires;
  node.append(heading, who);
  if (item.approvals_needed > 1) {
    const agreed = item.decisions.filter((made) => made.decision === "approve").map((made) => made.by);
    node.append(make("p", `${agreed.length} of ${item.approvals_needed} have agreed${agreed.length ? `: ${agreed.join(", ")}` : ""}`));
  }
  node.append(arguments_of(item));
  if (approver?.role === "approver") node.append(...deeds(item, node));
  return node;
}

function arguments_of(item) {
  const { arguments: text, argument_keys: keys } = item.shown;
  if (text === null) {
    const names = keys.length ? keys.join(", ") : "none";
    return fill(make("p"), approver?.role === "viewer" ? `arguments (names only): ${names}` : `arguments: ${names}`);
  }
  const box = fill(make("pre"), text);
  box.tabIndex = 0;
  box.dataset.part = "arguments";
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "arguments; a code such as \\u{202e} stands for a character that is not plain ASCII");
  if (item.shown.left_out > 0) box.append(make("mark", ` … ${item.shown.left_out} bytes are not shown yet`));
  return box;
}

function deeds(item, node) {
  const row = make("div", undefined, "deeds");
  const holder = make("div", undefined, "reason");
  const label = make("label", "Reason (needed to deny)");
  const reason = make("input");
  Object.assign(reason, { id: `reason-${item.id}`, maxLength: 1000, autocomplete: "off" });
  reason.dataset.part = "reason";
  label.htmlFor = reason.id;
  holder.append(label, reason);
  const approve = make("button", "Approve", "primary");
  const deny = make("button", "Deny", "danger");
  const said = make("p", "", "bad");
  said.setAttribute("role", "alert");
  for (const [button, word] of [[approve, "approve"], [deny, "deny"]]) {
    button.type = "button";
    button.dataset.part = word;
    button.setAttribute("aria-describedby", `title-${item.id}`);
    button.addEventListener("click", () => decide(item, word, reason, [approve, deny], said));
  }
  row.append(holder, approve, deny);
  if (item.shown.left_out === 0) return [row, said];
  // nobody approves what was not shown
  approve.disabled = true;
  const all = make("button", "Show all arguments");
  all.type = "button";
  all.dataset.part = "all";
  all.addEventListener("click", async () => {
    const response = await ask(`/approvals/${item.id}`).catch(() => null);
    if (!response?.ok) return void (said.textContent = response ? await problem(response) : "the console does not answer");
    const whole = await response.json();
    fill(node.querySelector("pre"), whole.shown.arguments ?? "");
    approve.disabled = whole.digest !== item.digest;
    all.remove();
  });
  row.prepend(all);
  return [row, said];
}

async function decide(item, word, reason, buttons, said) {
  said.textContent = "";
  if (word === "deny" && !reason.value.trim()) {
    said.textContent = "Say why: the agent is told, and it stands in the record.";
    return reason.focus();
  }
  buttons.forEach((button) => (button.disabled = true));
  try {
    const response = await ask(`/approvals/${item.id}/${word}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ digest: item.digest, reason: reason.value.trim() }),
    });
    if (response.status === 401) return sign_out(await problem(response));
    if (!response.ok) throw new Error(await problem(response));
    const now = await response.json();
    fill(by("told"), `${now.shown.tool}: ${now.state === "pending" ? "your approval counts, another one is needed" : now.state}`);
    by("pending-title").focus();
  } catch (error) {
    said.textContent = error instanceof TypeError ? "the console does not answer" : error.message;
    buttons.forEach((button) => (button.disabled = false));
  }
}

function ended_card(item) {
  const node = make("article", undefined, "ended");
  const heading = title(item, "h3");
  heading.append(": ", make("span", item.state, item.state === "denied" || item.state === "expired" ? "bad" : "good"));
  node.append(heading, fill(make("p"), `asked by ${asker(item)}`));
  for (const made of item.decisions) {
    const why = made.reason ? `: ${made.reason}` : "";
    node.append(make("p", `${made.decision === "approve" ? "approved" : "denied"} by ${made.by}${why}`));
  }
  return node;
}
