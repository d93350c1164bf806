// The phones: Enter sends, the cost of a text shows while it is typed, new phones join the shelf.

import { read } from "./merge.js";
import { onNews, refresh } from "./live.js";

const TYPING_MS = 140;
const timers = new WeakMap();
const arriving = new Set();

function post(address, fields) {
  return fetch(address, { method: "POST", body: fields, headers: { "X-Console": "1" } });
}

async function showHint(area) {
  const hint = area.form.querySelector(".hint");
  if (!area.value) return setHint(hint, "", false);
  const answer = await post("/console/hint", new URLSearchParams({ body: area.value }));
  if (!answer.ok || !area.value) return undefined;
  const { label, fits } = await answer.json();
  return setHint(hint, label, !fits);
}

function setHint(hint, text, isBad) {
  hint.textContent = text;
  hint.classList.toggle("is-bad", isBad);
}

async function send(form, submitter) {
  const fields = new URLSearchParams(new FormData(form));
  if (submitter?.name) fields.set(submitter.name, submitter.value);
  const area = form.querySelector("textarea");
  const hint = form.querySelector(".hint");
  const sent = area?.value;
  const answer = await post(form.action, fields).catch(() => null);
  if (!answer?.ok) {
    setHint(hint, answer ? await answer.text() : "Trunkline does not answer.", true);
    return;
  }
  if (area && !submitter?.name) {
    if (area.value === sent) area.value = "";
    form.querySelectorAll(".attach input").forEach((input) => (input.value = ""));
    form.querySelector(".attach").removeAttribute("open");
  }
  setHint(hint, "", false);
  form.closest("details")?.removeAttribute("open");
  refresh("handset", form.closest("[data-phone]").dataset.phone);
}

// A file is kept under an address of its own, which is sent like any other.
async function attach(input) {
  const { form } = input;
  const hint = form.querySelector(".hint");
  const files = [...input.files];
  for (const file of files) {
    setHint(hint, `${file.name} …`, false);
    const type = file.type || (file.name.endsWith(".vcf") ? "text/vcard" : "");
    const headers = { "X-Console": "1", "Content-Type": type || "application/octet-stream" };
    const given = { method: "POST", body: file, headers };
    const answer = await fetch("/console/uploads", given).catch(() => null);
    const said = answer ? await answer.text() : "Trunkline does not answer.";
    if (!answer?.ok) return setHint(hint, said, true);
    form.media.value = `${form.media.value} ${said}`.trim();
  }
  const what = files.map((file) => file.name).join(", ");
  return setHint(hint, `${what} ${files.length > 1 ? "are" : "is"} attached`, false);
}

// Files need this script; addresses do not.
function offerFiles(place) {
  place.querySelectorAll("[data-files]").forEach((label) => (label.hidden = false));
}

// Phones on the shelf keep their places and what is typed on them; newcomers stand first.
async function addPhone(number) {
  const shelf = document.querySelector("[data-shelf]");
  const isThere = [...document.querySelectorAll("[data-phone]")].some((p) => p.dataset.phone === number);
  if (!shelf || isThere || arriving.has(number)) return;
  arriving.add(number);
  const page = await read(location.pathname).catch(() => null);
  const known = new Set([...shelf.children].map((phone) => phone.dataset.key));
  const fresh = [...(page?.querySelector("[data-shelf]")?.children ?? [])];
  for (const phone of fresh.filter((child) => !known.has(child.dataset.key)).reverse()) {
    phone.classList.add("is-new");
    shelf.prepend(phone);
    offerFiles(phone);
    phone.querySelectorAll(".thread").forEach(toEnd);
  }
  if (shelf.children.length) document.querySelector("[data-first-phone]")?.remove();
  arriving.delete(number);
}

function toEnd(thread) {
  thread.scrollTop = thread.scrollHeight;
}

document.addEventListener("input", (event) => {
  const area = event.target.closest(".composer textarea");
  if (!area) return;
  clearTimeout(timers.get(area));
  timers.set(area, setTimeout(() => showHint(area), TYPING_MS));
});

document.addEventListener("change", (event) => {
  if (event.target.matches(".attach input[type=file]")) attach(event.target);
});

document.addEventListener("keydown", (event) => {
  const area = event.target.closest(".composer textarea");
  if (!area || event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (area.value.trim() || area.form.media.value) area.form.requestSubmit();
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-quick]")) return;
  event.preventDefault();
  send(event.target, event.submitter);
});

// Options close like a menu does: Escape, or a click beside them.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = document.querySelector(".options[open]");
  open?.removeAttribute("open");
  open?.querySelector("summary").focus();
});

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll(".options[open]")) {
    if (!open.contains(event.target)) open.removeAttribute("open");
  }
});

onNews((topic, sid) => {
  if (topic === "handset" || topic === "reload") addPhone(sid);
});

document.querySelectorAll(".thread").forEach(toEnd);
offerFiles(document);
