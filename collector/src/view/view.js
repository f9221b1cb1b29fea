// Keeps the page up to date. Without this script it shows the state at the time of loading.
"use strict";
const parts = ["head", "workers", "service", "traces", "waterfall", "logs", "metrics", "losses"];
const form = document.getElementById("filters");
const live = document.getElementById("live");
const pause = document.getElementById("pause");
const waiting = new Map();
let source, retry;

function say(text, state) {
  live.textContent = text;
  live.className = state;
}

// A list under the pointer and selected text stay as they are, and get the latest state later.
function isInUse(name, part) {
  const selection = getSelection();
  if (!selection.isCollapsed && part.contains(selection.anchorNode)) return true;
  if (name === "logs" && pause.checked) return true;
  return (name === "traces" || name === "logs") && part.matches(":hover");
}

function later() {
  for (const [name, html] of waiting) {
    if (isInUse(name, document.getElementById(name))) continue;
    waiting.delete(name);
    replace(name, html);
  }
}

// The server escapes everything that was received, and the page allows no other script.
function replace(name, html) {
  const part = document.getElementById(name);
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const isScroller = focused?.classList.contains("scroll");
  const id = focused?.id || focused?.closest("details")?.id;
  const open = [...part.querySelectorAll("details[open]")].map((details) => details.id);
  const before = part.querySelector(".scroll");
  const top = before?.scrollTop ?? 0;
  const height = before?.scrollHeight ?? 0;
  part.innerHTML = html;
  for (const details of open) document.getElementById(details)?.setAttribute("open", "");
  const after = part.querySelector(".scroll");
  // A reader who has scrolled down keeps the line that is read.
  if (after && top > 0) after.scrollTop = top + after.scrollHeight - height;
  const again = isScroller ? after : id && document.getElementById(id);
  (again?.querySelector?.("summary") ?? again)?.focus({ preventScroll: true });
}

function connect() {
  clearTimeout(retry);
  source?.close();
  source = new EventSource("/events" + location.search);
  source.onopen = () => say("live", "on");
  source.onerror = () => {
    say("waiting for the service", "off");
    // The browser tries again by itself unless the server refused.
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(connect, 2000);
  };
  waiting.clear();
  const first = new Set(parts);
  for (const name of parts) {
    source.addEventListener(name, (event) => {
      // The first state is the answer to what the reader has asked for.
      if (!first.delete(name)) waiting.set(name, event.data);
      else replace(name, event.data);
      later();
    });
  }
}

function show(search) {
  history.pushState(null, "", search || "/");
  form.elements.trace.value = new URLSearchParams(location.search).get("trace") ?? "";
  connect();
}

function filter() {
  const query = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...query]) if (!value) query.delete(name);
  history.replaceState(null, "", "?" + query);
  connect();
}

let typing;
form.addEventListener("input", (event) => {
  if (event.target === pause) return;
  clearTimeout(typing);
  typing = setTimeout(filter, 250);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  filter();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="?"]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const [search, part] = link.getAttribute("href").split("#");
  show(search);
  if (part) setTimeout(() => document.getElementById(part)?.scrollIntoView({ block: "nearest" }), 300);
});
addEventListener("popstate", () => {
  const query = new URLSearchParams(location.search);
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "checkbox") field.checked = query.has(field.name);
    else field.value = query.get(field.name) ?? "";
  }
  connect();
});
setInterval(later, 500);
connect();
