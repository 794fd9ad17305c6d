// What pages gain from a script: they stay current, copy, and answer to keys.
// Every page works without it; nothing here decides or formats anything.

const root = document.documentElement;
root.classList.add("js");

/* A link from the terminal carries the token in its fragment, which no server sees. */
async function takeToken() {
  const found = /^#token=([0-9a-zA-Z_-]{16,})$/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname + location.search);
  const body = new URLSearchParams({ token: found[1], next: location.pathname });
  const answer = await fetch("/session", { method: "POST", body, redirect: "manual" });
  // A redirect is the sign that it was taken; a form for another try is not.
  if (answer.type === "opaqueredirect") location.reload();
}

/* Putting new content in place: what did not change stays, with focus, selection and scroll. */
const keyOf = (node) => (node.nodeType === 1 ? node.id : "");

function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh.cloneNode(true));
    return;
  }
  if (old.nodeType !== 1) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  // What the reader types or has opened is theirs.
  if (old === document.activeElement && old.matches("input, select, textarea")) return;
  const kept = old.hasAttribute("data-keep") ? ["open"] : [];
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.children) if (child.id) keyed.set(child.id, child);
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const key = keyOf(next);
    const same = key && keyed.get(key);
    if (same) {
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      morph(same, next);
    } else if (at && !keyOf(at) && !key && at.nodeName === next.nodeName) {
      const following = at.nextSibling;
      morph(at, next);
      at = following;
    } else {
      old.insertBefore(document.importNode(next, true), at);
    }
  }
  while (at) {
    const following = at.nextSibling;
    at.remove();
    at = following;
  }
}

/* Live: an event says that there is something new, the page fetches itself. */
const LIVE = { live: "live", stale: "as of", wait: "reconnecting, as of", off: "paused, as of" };
let state = "stale";
let busy = false;
let again = false;
let said = "";
let spoke = 0;

function show(next) {
  state = next;
  const live = document.getElementById("live");
  if (!live) return;
  live.dataset.state = state;
  const word = live.querySelector("[data-word]");
  if (word) word.textContent = LIVE[state];
}

/* A screen reader hears the headline when it changed, at most every ten seconds. */
function announce() {
  const text = document.querySelector("main h1")?.textContent.trim() ?? "";
  const now = Date.now();
  if (text === said || now - spoke < 10000) return;
  if (said) document.getElementById("spoken").textContent = text;
  said = text;
  spoke = now;
}

async function refresh() {
  if (document.hidden || document.querySelector("dialog[open]")) return;
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const answer = await fetch(location.pathname + location.search, {
      headers: { accept: "text/html" },
      redirect: "error",
    });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of ["main", "top-side"]) {
        const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
        if (old && fresh) morph(old, fresh);
      }
      if (document.title !== page.title) document.title = page.title;
      show("live");
      announce();
    }
  } catch {
    show("wait");
  }
  busy = false;
  if (again) {
    again = false;
    setTimeout(refresh, 1000);
  }
}

function listen() {
  if (!document.getElementById("live")) return;
  const spoken = document.createElement("p");
  spoken.id = "spoken";
  spoken.className = "vh";
  spoken.setAttribute("role", "status");
  document.body.append(spoken);
  let source = null;
  const open = () => {
    source = new EventSource("/api/v1/events");
    source.addEventListener("board", refresh);
    source.addEventListener("open", () => show("live"));
    source.addEventListener("error", () => {
      show("wait");
      // A browser that was refused does not try again by itself.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 5000);
    });
  };
  open();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => {
    if (event.persisted) open();
  });
}

/* Copying. */
async function copy(button) {
  const code = button.parentElement.querySelector("code");
  const before = button.lastChild.textContent;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.lastChild.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.lastChild.textContent = "Selected";
  }
  setTimeout(() => (button.lastChild.textContent = before), 1500);
}

/* Keys: none of them changes anything but where the reader is. */
const GO = { o: "/", c: "/changes", r: "/rules" };
let waiting = 0;

function rows() {
  return [...document.querySelectorAll("table.rows th[scope=row] a")];
}

function step(by) {
  const pager = document.querySelector(`.pager a[rel=${by > 0 ? "next" : "prev"}]`);
  if (document.querySelector(".diff") && pager) {
    location.href = pager.href;
    return;
  }
  const links = rows();
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by;
  const link = links[Math.max(0, Math.min(links.length - 1, next))];
  link.focus();
  link.scrollIntoView({ block: "nearest" });
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key === "Escape" && typing) typing.blur();
  if (typing || document.querySelector("dialog[open]")) return;
  const went = Date.now() - waiting < 1500;
  waiting = 0;
  if (went && GO[event.key]) {
    location.href = GO[event.key];
  } else if (event.key === "g") {
    waiting = Date.now();
  } else if (event.key === "/") {
    document.querySelector("[data-filter]")?.focus();
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  } else if (event.key === "?") {
    document.getElementById("keys")?.showModal();
  } else {
    return;
  }
  event.preventDefault();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  for (const details of document.querySelectorAll("details.deed[open]")) {
    if (!details.contains(event.target)) details.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const details = event.target.closest("details.deed[open]");
  if (!details) return;
  details.open = false;
  details.querySelector("summary").focus();
});
document.addEventListener("keydown", keys);

await takeToken();
said = document.querySelector("main h1")?.textContent.trim() ?? "";
listen();
