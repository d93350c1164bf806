// What every page of the console does: local times, copy buttons, live regions.

import { localise } from "./merge.js";
import "./live.js";
import "./phones.js";
import "./carriers.js";

const COPIED_MS = 1600;

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const text = source.textContent;
  const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  // Without HTTPS a page on another machine has no clipboard: select, so that Ctrl-C copies.
  if (!done) getSelection().selectAllChildren(source);
  const label = button.textContent;
  button.textContent = done ? "Copied" : "Press Ctrl-C";
  setTimeout(() => (button.textContent = label), COPIED_MS);
}

localise(document);

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

for (const field of document.querySelectorAll("[data-submits]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}
