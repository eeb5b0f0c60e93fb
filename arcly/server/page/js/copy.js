// Copy buttons. The async clipboard exists only in secure contexts, and a media server on a local
// network is usually plain http, so there is an old-fashioned second way.

import { find, part, setText, stamp } from "./dom.js";

const FEEDBACK_MS = 1600;

/**
 * @param {HTMLButtonElement} button @param {string} what names the thing for a screen reader
 * @param {() => string} text read at the click
 */
export function makeCopyButton(button, what, text) {
  button.append(stamp("copy-face"));
  const label = find("span", button);
  const idle = button.dataset.label ?? "Copy";
  setText(label, idle);
  button.setAttribute("aria-label", `Copy ${what}`);
  let timer = 0;
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    setText(label, copied ? "Copied" : "Failed");
    button.dataset.done = String(copied);
    announce(copied ? `Copied ${what}` : `Could not copy ${what}`);
    clearTimeout(timer);
    timer = setTimeout(() => {
      setText(label, idle);
      delete button.dataset.done;
    }, FEEDBACK_MS);
  });
}

/** @param {string} text @returns {Promise<boolean>} */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** @param {string} text */
function copyBySelection(text) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus({ preventScroll: true });
  return copied;
}

let announced = 0;

/** Say it to who does not see the page. @param {string} text */
export function announce(text) {
  setText(part("announcer"), text);
  clearTimeout(announced);
  announced = setTimeout(() => setText(part("announcer"), ""), FEEDBACK_MS); // to be told again
}
