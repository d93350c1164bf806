// The traffic of a carrier: a button that holds it still, and fields that come into view.

import { refresh } from "./live.js";

for (const button of document.querySelectorAll("[data-pauses]")) {
  const region = document.getElementById(button.dataset.pauses);
  button.hidden = false;
  region.scrollTop = region.scrollHeight;
  button.addEventListener("click", () => {
    const isPaused = region.toggleAttribute("data-paused");
    button.setAttribute("aria-pressed", isPaused);
    button.textContent = isPaused ? "Go on" : "Pause";
    if (!isPaused) refresh("carrier", region.dataset.sid);
  });
}

document.addEventListener("click", (event) => {
  const details = event.target.closest(".passages summary")?.parentElement;
  // The browser opens it after this event.
  if (details) requestAnimationFrame(() => details.scrollIntoView({ block: "nearest" }));
});
