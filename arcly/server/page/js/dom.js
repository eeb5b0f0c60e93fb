// The only ways this page touches text and visibility. Names of streams are chosen by strangers:
// they become text nodes, never markup. Nothing is written that has not changed, so that a poll
// every second costs no layout and a screen reader is not told the same thing again.

/** @param {Element} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {HTMLElement} node @param {boolean} visible */
export function setVisible(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/** @param {Element} node @param {string} name @param {string} value */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/**
 * The element of this page with that `data-testid`. Script and browser test find things by the
 * same name, so a test that passes has met the element the script uses.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id @param {ParentNode} [root] @returns {T}
 */
export function part(id, root = document) {
  return find(`[data-testid="${id}"]`, root);
}

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} selector @param {ParentNode} [root] @returns {T}
 */
export function find(selector, root = document) {
  const node = root.querySelector(selector);
  if (!node) throw new Error(`index.html has no ${selector}`);
  return /** @type {T} */ (node);
}

/** @param {string} id @returns {DocumentFragment} a copy of a <template>'s content */
export function stamp(id) {
  const template = /** @type {HTMLTemplateElement} */ (find(`#${id}`));
  return /** @type {DocumentFragment} */ (template.content.cloneNode(true));
}
