// Brings what the server renders now into the page, without disturbing what somebody is doing there.

const BOTTOM = 48; // Closer than this to the end of a conversation counts as following it.

/** Read a page that the server sent; its scripts do not run. */
export async function read(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok) return null;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  localise(page);
  return page;
}

/** Make a region's children those of its fresh copy; children with the same key stay where they are. */
export function merge(region, fresh) {
  const follows = region.scrollHeight - region.scrollTop - region.clientHeight < BOTTOM;
  const known = new Map([...region.children].map((child) => [child.dataset.key, child]));
  const wanted = [...fresh.children].map((child) => choose(known.get(child.dataset.key), child));
  wanted.forEach((child, place) => {
    if (region.children[place] !== child) region.insertBefore(child, region.children[place] ?? null);
  });
  while (region.children.length > wanted.length) region.lastElementChild.remove();
  if (follows) region.scrollTop = region.scrollHeight;
}

function choose(before, child) {
  if (!before) {
    child.classList.add("is-new");
    child.addEventListener("animationend", () => child.classList.remove("is-new"), { once: true });
    return child;
  }
  if (before.isEqualNode(child)) return before;
  keepOpen(before, child);
  const focused = before.contains(document.activeElement);
  before.replaceWith(child);
  if (focused) child.querySelector("a, button, summary")?.focus();
  return child;
}

function keepOpen(before, child) {
  const opened = [...before.querySelectorAll("details")].map((details) => details.open);
  child.querySelectorAll("details").forEach((details, place) => {
    details.open = opened[place] ?? false;
  });
}

const CLOCK = { hour: "2-digit", minute: "2-digit" };
const EXACT = { ...CLOCK, second: "2-digit", fractionalSecondDigits: 3 };
const DAY = { day: "numeric", month: "short" };

/** Show times in the reader's own zone; the server writes UTC. */
export function localise(root) {
  const today = new Date().toDateString();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    const parts = "exact" in element.dataset ? EXACT : CLOCK;
    const near = at.toDateString() === today;
    element.textContent = at.toLocaleString([], near ? parts : { ...DAY, ...parts });
    element.title = at.toLocaleString([], { dateStyle: "full", timeStyle: "long" });
  }
}
