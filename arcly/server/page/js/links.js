// How the SRT connections of the stream in the player are, its publisher's among them: what the
// network between them and the server does.

import { find, part, setText, setVisible, stamp } from "./dom.js";
import * as format from "./format.js";

/** @typedef {{id: number, role: "publisher" | "viewer", peer: string | null, version: string, rtt_us: number,
 *   link_bits_per_second: number, send_bits_per_second: number, receive_bits_per_second: number,
 *   send_lost_packets: number, receive_lost_packets: number,
 *   retransmitted_packets: number, received_retransmitted_packets: number,
 *   send_dropped_packets: number, receive_dropped_packets: number, flight_packets: number}} Link */

export class LinkTable {
  #root = part("links");
  #body = part("link-rows");
  /** @type {Map<number, HTMLElement>} */
  #rows = new Map();

  /** @param {Link[]} links */
  show(links) {
    setVisible(this.#root, links.length > 0);
    const ids = new Set(links.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    for (const link of links) fill(this.#row(link.id), link);
  }

  /** @param {number} id */
  #row(id) {
    const known = this.#rows.get(id);
    if (known) return known;
    const row = find("tr", stamp("link-row"));
    this.#rows.set(id, row);
    this.#body.append(row);
    return row;
  }
}

/** @param {HTMLElement} row @param {Link} link */
function fill(row, link) {
  const sends = link.role === "viewer";
  const texts = {
    "link-peer": link.peer ?? "not shown",
    "link-role": sends ? "Viewer" : "Publisher",
    "link-bitrate": format.bitrate(sends ? link.send_bits_per_second : link.receive_bits_per_second),
    "link-bandwidth": format.bitrate(link.link_bits_per_second || null),
    "link-rtt": format.milliseconds(link.rtt_us / 1e6),
    "link-lost": format.count(sends ? link.send_lost_packets : link.receive_lost_packets),
    "link-again": format.count(sends ? link.retransmitted_packets : link.received_retransmitted_packets),
    "link-late": format.count(sends ? link.send_dropped_packets : link.receive_dropped_packets),
    "link-flight": format.count(sends ? link.flight_packets : null),
  };
  for (const [id, text] of Object.entries(texts)) setText(part(id, row), text);
  part("link-peer", row).title = `libsrt ${link.version}`;
}
