// Puts the parts together: the status feed into list, player and publish panel; the address bar
// into what the player shows.

import { find, part, setAttribute, setText, setVisible } from "./dom.js";
import { Player } from "./player.js";
import { PublishPanel } from "./publish.js";
import { RecordingList } from "./recordings.js";
import { CREDENTIALS, streamKey, streamPath, targetOfPath } from "./route.js";
import { followStatus } from "./status.js";
import { StreamList } from "./streams.js";
import { ViewerTable } from "./viewers.js";

/** @typedef {import("./route.js").Target} Target */
/** @typedef {import("./status.js").Status} Status */

const CONNECTION_TEXT = { online: "Connected", offline: "Server unreachable, retrying" };

const publish = new PublishPanel();
const list = new StreamList((target) => navigate(target));
const player = new Player({
  onClose: () => navigate(null),
  onPublish: (target) => publish.show(target),
});
const viewers = new ViewerTable();
const recordings = new RecordingList();
/** @type {Status | null} */
let status = null;
let serverNowMs = 0; // when it said so

/** @param {Target | null} target null: the list alone */
function navigate(target) {
  const path = target ? streamPath(target) : "/";
  if (path !== location.pathname) history.pushState(null, "", path + CREDENTIALS);
  follow();
}

/** Show what the address bar says. */
function follow() {
  const before = player.target;
  const target = targetOfPath(location.pathname);
  document.title = target ? `${streamKey(target)} · arcly` : "arcly";
  list.markPlaying(target);
  if (!target) {
    player.close();
    viewers.close();
    if (before) list.focus(before);
    return;
  }
  if (!before || streamKey(before) !== streamKey(target)) player.open(target);
  updatePlayer();
  player.focus();
}

function updatePlayer() {
  const { target } = player;
  if (!status || !target) return;
  const info = status.streams.find((it) => streamKey(it) === streamKey(target)) ?? null;
  player.update(info, status.listeners);
  if (info) viewers.refresh(target, info.viewers, serverNowMs);
  else viewers.close();
}

/** @param {"online" | "offline"} state */
function showConnection(state) {
  setAttribute(part("connection-state"), "data-state", state);
  setText(find("[data-text]", part("connection-state")), CONNECTION_TEXT[state]);
  setAttribute(document.body, "data-connection", state);
  setVisible(find("main"), true); // not earlier: the first answer would push things around
}

/** @param {Status} answer @param {number} nowMs */
function onStatus(answer, nowMs) {
  status = answer;
  serverNowMs = nowMs;
  list.render(answer.streams, serverNowMs);
  list.markPlaying(player.target);
  setVisible(part("hides-note"), answer.hides ?? false);
  recordings.refresh(answer.recordings ?? false);
  publish.setListeners(answer.listeners);
  setText(part("version"), `arcly ${answer.version}`);
  updatePlayer();
  showConnection("online");
}

/** @param {string} where @param {(event: Event) => void} run */
function onNavigationClick(where, run) {
  for (const link of document.querySelectorAll(`[data-nav="${where}"]`)) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      run(event);
    });
  }
}

onNavigationClick("home", () => navigate(null));
onNavigationClick("publish", () => publish.show(null));
addEventListener("popstate", follow);
follow();
followStatus(onStatus, () => showConnection("offline"));
