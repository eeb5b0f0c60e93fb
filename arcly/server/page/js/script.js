// The players that others have written (`/static/vendor`): loaded when one is needed, and once.

/** @type {Map<string, Promise<void>>} */
const loading = new Map();

/** @param {string} name a file of `/static/vendor` @returns {Promise<void>} */
export function loadScript(name) {
  const known = loading.get(name);
  if (known) return known;
  const loaded = new Promise((/** @type {(value: void) => void} */ resolve, reject) => {
    const script = document.createElement("script");
    script.src = `/static/vendor/${name}`;
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => {
      loading.delete(name); // so that it is tried again
      script.remove();
      reject(new Error(`${name} could not be loaded`));
    });
    document.head.append(script);
  });
  loading.set(name, loaded);
  return loaded;
}
