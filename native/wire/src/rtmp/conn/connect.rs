//! `connect` (RTMP §7.2.1.1), with the capabilities of Enhanced RTMP.

use super::super::{
    Capabilities, ConnectInfo,
    amf::{self, Value},
    name,
};

/// FourCCs that are kept of a peer: more than there are.
const FOUR_CCS_MAX: usize = 32;

/// What the command object says. Nothing in it is needed: a missing application shows when a stream is named.
pub(super) fn connect_info(object: &Value) -> ConnectInfo {
    let text = |property| object.property(property).and_then(Value::as_str).unwrap_or_default();
    let (app, query) = name::split_query(text("app"));
    let query = if query.is_empty() { name::split_query(text("tcUrl")).1 } else { query };
    ConnectInfo {
        app: name::tidy_path(app),
        query: query.to_owned(),
        tc_url: text("tcUrl").to_owned(),
        flash_ver: text("flashVer").to_owned(),
        userinfo: name::userinfo(text("tcUrl")).to_owned(),
        capabilities: capabilities(object),
    }
}

/// Of the peer's command object, or of the answer to ours.
pub(in super::super) fn capabilities(object: &Value) -> Capabilities {
    let listed = match object.property("fourCcList") {
        Some(Value::StrictArray(values)) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let maps = ["videoFourCcInfoMap", "audioFourCcInfoMap"].into_iter().filter_map(|map| object.property(map));
    let mapped = maps.filter_map(names).flatten();
    let mut four_ccs = Vec::<String>::new();
    for four_cc in listed.into_iter().chain(mapped) {
        if four_ccs.len() < FOUR_CCS_MAX && four_cc.len() <= 4 && !four_ccs.iter().any(|known| known == four_cc) {
            four_ccs.push(four_cc.to_owned());
        }
    }
    // A cast of what is no number of bits saturates.
    let caps_ex = object.property("capsEx").and_then(Value::as_number).unwrap_or_default() as u32;
    Capabilities { four_ccs, caps_ex }
}

fn names(map: &Value) -> Option<impl Iterator<Item = &str>> {
    let (Value::Object(properties) | Value::EcmaArray(properties)) = map else { return None };
    Some(properties.iter().map(|(name, _): &(String, amf::Value)| name.as_str()))
}

/// The `objectEncoding` that was asked for; 0 is AMF0, 3 is AMF3.
pub(super) fn object_encoding(object: &Value) -> f64 {
    let asked = object.property("objectEncoding").and_then(Value::as_number);
    if asked == Some(3.0) { 3.0 } else { 0.0 }
}
