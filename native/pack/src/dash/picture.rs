//! What an MPD says of pictures beyond their size: Dolby Vision, and how samples become light.

use std::fmt::Write;

use arcly_bus::Track;
use arcly_codec::{Colour, DynamicRange};

/// The namespace of the attributes that [`supplemental`] writes (ANSI/SCTE 214-1 §6), for the element `MPD`.
pub(crate) const SCTE214: &str = " xmlns:scte214=\"urn:scte:dash:scte214-extensions\"";

/// The codec that a player may take instead of `codecs`, and the brand of its form: attributes of a `Representation`.
pub(crate) fn supplemental(text: &mut String, track: &Track) {
    if let Some((codec, brand)) = track.supplemental_codec() {
        let _ = write!(text, " scte214:supplementalCodecs=\"{codec}\" scte214:supplementalProfiles=\"{brand}\"");
    }
}

/// The colour of a high dynamic range, by the code points of ISO/IEC 23091-2. A screen that does not know the perceptual quantizer
/// shows it wrong (DASH-IF IOP 4.3 §10.3: essential); hybrid log-gamma is made to be shown as it is.
pub(crate) fn colour(text: &mut String, track: &Track) {
    let Some(Colour { primaries, transfer, matrix, .. }) = track.config.video().map(|info| info.colour) else { return };
    let property = match track.dynamic_range() {
        Some(DynamicRange::Pq) => "EssentialProperty",
        Some(DynamicRange::Hlg) => "SupplementalProperty",
        Some(DynamicRange::Sdr) | None => return,
    };
    for (what, value) in
        [("ColourPrimaries", primaries), ("TransferCharacteristics", transfer), ("MatrixCoefficients", matrix)]
    {
        // Unspecified says nothing.
        if value != 2 {
            let _ = writeln!(text, "<{property} schemeIdUri=\"urn:mpeg:mpegB:cicp:{what}\" value=\"{value}\"/>");
        }
    }
}
