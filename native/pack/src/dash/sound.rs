//! What an MPD says of sound: its channels, and objects.

use std::fmt::Write;

use arcly_bus::Track;

/// Elements of a `Representation` (ISO/IEC 23009-1 §5.8.5.4), in the order of the schema. Objects (JOC) are said as ETSI TS 103 420 has it.
pub(crate) fn channels(text: &mut String, track: &Track) {
    let Some(channels) = track.config.audio().map(|info| info.channels).filter(|channels| *channels > 0) else {
        return;
    };
    let scheme = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011";
    let _ = writeln!(text, "<AudioChannelConfiguration schemeIdUri=\"{scheme}\" value=\"{channels}\"/>");
    let Some(objects) = track.config.joc_complexity().map(|objects| objects.to_string()) else { return };
    for (what, value) in [("Type", "JOC"), ("ComplexityIndex", &objects)] {
        let scheme = format!("tag:dolby.com,2018:dash:EC3_Extension{what}:2018");
        let _ = writeln!(text, "<SupplementalProperty schemeIdUri=\"{scheme}\" value=\"{value}\"/>");
    }
}
