//! How endless streams leave, and who watches them.

use arcly_io::egress::{EgressOptions, ViewerInfo, Watcher};
use pyo3::PyResult;

use crate::{arguments::seconds, key::StreamKey};

/// Every packet, merge, merge_max, viewers_max, behind_max, stall_max (times in seconds): `arcly.EgressOptions`, field by field.
pub type EgressTuple = (bool, f64, f64, usize, f64, f64);

pub fn options(egress: Option<EgressTuple>) -> PyResult<EgressOptions> {
    let Some((every_packet, merge_s, merge_max_s, viewers_max, behind_max_s, stall_max_s)) = egress else {
        return Ok(EgressOptions::default());
    };
    Ok(EgressOptions {
        every_packet,
        merge: seconds(merge_s)?,
        merge_max: seconds(merge_max_s)?,
        viewers_max,
        behind_max: seconds(behind_max_s)?,
        stall_max: seconds(stall_max_s)?,
        ..EgressOptions::default()
    })
}

/// Id, key, protocol, peer, agent, since_unix_ms, bytes, frames, dropped, lag_frames, layer, estimate_bps: `arcly.Viewer`, field by field.
pub type ViewerTuple = (u64, StreamKey, &'static str, String, String, u64, u64, u64, u64, u64, String, u64);

pub fn viewer(info: ViewerInfo) -> ViewerTuple {
    let Watcher { key, protocol, peer, agent } = info.watcher;
    let ViewerInfo { id, since_unix_ms, bytes, frames, dropped, lag_frames, layer, estimate_bps, .. } = info;
    (
        id,
        StreamKey(key),
        protocol,
        peer.to_string(),
        agent,
        since_unix_ms,
        bytes,
        frames,
        dropped,
        lag_frames,
        layer,
        estimate_bps,
    )
}
