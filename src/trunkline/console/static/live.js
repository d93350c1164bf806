// Keeps the page as it is on the server: listens to what changes and fetches only that again.
//
// A region is an element with an id and data-live="topic …"; data-sid narrows it to one thing,
// data-source names where its fresh copy is (by default this very page), and data-paused keeps it as
// it is. data-watch names a carrier whose traffic the server is to look at for us, or * for all.

import { merge, read } from "./merge.js";

const GATHER_MS = 120; // News come in bursts; one look at the server answers a whole burst.
const QUIET_MS = 700; // The least time between two looks, however busy the server is.
const RETRY_MS = 4000;

const watched = document.querySelector("[data-watch]")?.dataset.watch;
const indicator = document.querySelector("[data-live-state]");
const stale = new Set();
const listeners = [];
let stream = null;
let timer = 0;
let lastLook = 0;

/** Call back with (topic, sid) whenever something changes, and with ("reload", "") for everything. */
export function onNews(listener) {
  listeners.push(listener);
}

/** Fetch the regions that show this thing again soon; without a sid, all of the topic. */
export function refresh(topic, sid) {
  for (const region of document.querySelectorAll("[data-live]:not([data-paused])")) {
    const topics = region.dataset.live.split(" ");
    const same = !sid || !region.dataset.sid || region.dataset.sid === sid;
    if (topic === "reload" || (topics.includes(topic) && same)) stale.add(region);
  }
  if (stale.size && !timer) {
    timer = setTimeout(look, Math.max(GATHER_MS, lastLook + QUIET_MS - Date.now()));
  }
}

async function look() {
  const regions = [...stale].filter((region) => region.isConnected && !("paused" in region.dataset));
  stale.clear();
  const sources = [...new Set(regions.map(source))];
  await Promise.allSettled(
    sources.map((address) => renew(address, regions.filter((region) => source(region) === address))),
  );
  lastLook = Date.now();
  timer = 0;
  if (stale.size) refresh("none", "");
}

function source(region) {
  return region.dataset.source ?? location.pathname + location.search;
}

async function renew(address, regions) {
  const page = await read(address);
  for (const region of regions) {
    const fresh = page?.getElementById(region.id);
    if (fresh) merge(region, fresh);
  }
}

function tell(state, text) {
  if (!indicator) return;
  indicator.dataset.state = state;
  indicator.querySelector("span").textContent = text;
}

function hear(topic, sid) {
  refresh(topic, sid);
  listeners.forEach((listener) => listener(topic, sid));
}

function open() {
  stream = new EventSource(`/console/events${watched ? `?carriers=${encodeURIComponent(watched)}` : ""}`);
  stream.addEventListener("open", () => {
    tell("on", "Live");
    // Something may have changed since the server made this page, or since the last stream ended.
    hear("reload", "");
  });
  stream.addEventListener("news", (event) => {
    for (const [topic, sid] of JSON.parse(event.data)) hear(topic, sid);
  });
  stream.addEventListener("reload", () => hear("reload", ""));
  stream.addEventListener("error", () => {
    tell("off", "Reconnecting…");
    if (stream?.readyState === EventSource.CLOSED) setTimeout(reopen, RETRY_MS);
  });
}

function close() {
  stream?.close();
  stream = null;
}

function reopen() {
  close();
  if (document.hidden) tell("off", "Paused");
  else open();
}

// A browser opens six connections to one host; tabs in the background must not use them up.
document.addEventListener("visibilitychange", reopen);
addEventListener("pagehide", close);
reopen();
