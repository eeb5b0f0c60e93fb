//! `colorInfo` of Enhanced RTMP (VideoPacketType Metadata): what HDR says about a track, read and written.

use arcly_codec::{
    Colour, ContentLight, Hdr, MasteringDisplay,
    amf::{self, Decoder, Limits, Value},
};
use bytes::Bytes;

use super::error::FlvError;

/// What a sender said about the colour of a track, beside its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColourInfo {
    /// `colorConfig`; `None` when it was not there.
    pub colour: Option<Colour>,
    /// `hdrMdcv` and `hdrCll`.
    pub hdr: Hdr,
}

/// Chromaticities are fractions of 1 in AMF, and of 0.00002 in [`MasteringDisplay`].
const CHROMATICITY_UNITS: f64 = 50_000.0;
/// Luminances are cd/m² in AMF, and 0.0001 cd/m² in [`MasteringDisplay`].
const LUMINANCE_UNITS: f64 = 10_000.0;

impl ColourInfo {
    /// Reads the body of a Metadata packet; `None` when it says nothing about colour. An `undefined` in the place of the
    /// object takes back what was said.
    pub(super) fn parse(body: &[u8]) -> Result<Option<Self>, FlvError> {
        let mut values = Decoder::new(body, Limits::default());
        while let Some(name) = values.next_value()? {
            let value = values.next_value()?.unwrap_or(Value::Undefined);
            if name.as_str() == Some("colorInfo") {
                return Ok(Some(Self::of(&value)));
            }
        }
        Ok(None)
    }

    fn of(object: &Value) -> Self {
        Self {
            colour: object.property("colorConfig").map(colour_of),
            hdr: Hdr {
                mastering: object.property("hdrMdcv").and_then(mastering_of),
                content_light: object.property("hdrCll").and_then(content_light_of),
            },
        }
    }

    /// The body of a Metadata packet behind its FourCC.
    pub(super) fn encode(&self, bit_depth: u8) -> Bytes {
        let mut properties = Vec::new();
        if let Some(colour) = self.colour {
            properties.push(("colorConfig".to_owned(), colour_object(colour, bit_depth)));
        }
        if let Some(light) = self.hdr.content_light {
            let cll = [("maxFall", f64::from(light.max_fall)), ("maxCLL", f64::from(light.max_cll))];
            properties.push(("hdrCll".to_owned(), object(&cll)));
        }
        if let Some(mastering) = self.hdr.mastering {
            properties.push(("hdrMdcv".to_owned(), mastering_object(&mastering)));
        }
        let mut body = Vec::new();
        amf::encode(&Value::from("colorInfo"), &mut body);
        amf::encode(&Value::Object(properties), &mut body);
        body.into()
    }

    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        let unspecified = Colour::default();
        let says = |colour: Colour| Colour { full_range: false, ..colour } != unspecified;
        !self.colour.is_some_and(says) && self.hdr == Hdr::default()
    }
}

fn number(object: &Value, name: &str) -> Option<f64> {
    object.property(name).and_then(Value::as_number)
}

fn colour_of(object: &Value) -> Colour {
    // Code points are bytes (H.273); a cast of what is none saturates, and 2 says "unspecified".
    let code_point = |name| number(object, name).map_or(2, |number| number as u8);
    Colour {
        primaries: code_point("colorPrimaries"),
        transfer: code_point("transferCharacteristics"),
        matrix: code_point("matrixCoefficients"),
        full_range: false,
    }
}

fn colour_object(colour: Colour, bit_depth: u8) -> Value {
    object(&[
        ("bitDepth", f64::from(bit_depth)),
        ("colorPrimaries", f64::from(colour.primaries)),
        ("transferCharacteristics", f64::from(colour.transfer)),
        ("matrixCoefficients", f64::from(colour.matrix)),
    ])
}

/// Names of the chromaticities in the order of [`MasteringDisplay::primaries`]: green, blue, red.
const PRIMARIES: [(&str, &str); 3] = [("greenX", "greenY"), ("blueX", "blueY"), ("redX", "redY")];

/// `None` when a number is missing: half a display is none.
fn mastering_of(object: &Value) -> Option<MasteringDisplay> {
    // Casts saturate.
    let chromaticity = |name| number(object, name).map(|number| (number * CHROMATICITY_UNITS).round() as u16);
    let luminance = |name| number(object, name).map(|number| (number * LUMINANCE_UNITS).round() as u32);
    let point = |(x, y)| Some((chromaticity(x)?, chromaticity(y)?));
    let [green, blue, red] = PRIMARIES.map(point);
    Some(MasteringDisplay {
        primaries: [green?, blue?, red?],
        white_point: point(("whitePointX", "whitePointY"))?,
        max_luminance: luminance("maxLuminance")?,
        min_luminance: luminance("minLuminance")?,
    })
}

fn mastering_object(mastering: &MasteringDisplay) -> Value {
    let mut numbers = Vec::new();
    let points = mastering.primaries.iter().chain([&mastering.white_point]);
    for ((x_name, y_name), (x, y)) in PRIMARIES.iter().chain([&("whitePointX", "whitePointY")]).zip(points) {
        numbers.push((*x_name, f64::from(*x) / CHROMATICITY_UNITS));
        numbers.push((*y_name, f64::from(*y) / CHROMATICITY_UNITS));
    }
    numbers.push(("maxLuminance", f64::from(mastering.max_luminance) / LUMINANCE_UNITS));
    numbers.push(("minLuminance", f64::from(mastering.min_luminance) / LUMINANCE_UNITS));
    object(&numbers)
}

fn content_light_of(object: &Value) -> Option<ContentLight> {
    // Casts saturate.
    Some(ContentLight { max_cll: number(object, "maxCLL")? as u16, max_fall: number(object, "maxFall")? as u16 })
}

fn object(numbers: &[(&str, f64)]) -> Value {
    Value::Object(numbers.iter().map(|(name, number)| ((*name).to_owned(), Value::Number(*number))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BT.2020 primaries, D65, 1000 to 0.005 cd/m²: the numbers of x265's manual.
    const HDR10: ColourInfo = ColourInfo {
        colour: Some(Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false }),
        hdr: Hdr {
            mastering: Some(MasteringDisplay {
                primaries: [(13_250, 34_500), (7_500, 3_000), (34_000, 16_000)],
                white_point: (15_635, 16_450),
                max_luminance: 10_000_000,
                min_luminance: 50,
            }),
            content_light: Some(ContentLight { max_cll: 1000, max_fall: 400 }),
        },
    };

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(ColourInfo::parse(&HDR10.encode(10)), Ok(Some(HDR10)));
        let only_colour = ColourInfo { hdr: Hdr::default(), ..HDR10 };
        assert_eq!(ColourInfo::parse(&only_colour.encode(8)), Ok(Some(only_colour)));
    }

    #[test]
    fn undefined_takes_back_what_was_said() {
        assert_eq!(ColourInfo::parse(b"\x02\0\x09colorInfo\x06"), Ok(Some(ColourInfo::default())));
        assert_eq!(ColourInfo::parse(b"\x02\0\x05other\x06"), Ok(None));
        assert_eq!(ColourInfo::parse(b""), Ok(None));
    }

    #[test]
    fn numbers_that_are_none_do_not_panic() {
        let broken = |number: f64| {
            let mut body = Vec::new();
            amf::encode(&Value::from("colorInfo"), &mut body);
            let cll = object(&[("maxFall", number), ("maxCLL", number)]);
            amf::encode(&Value::Object(vec![("hdrCll".to_owned(), cll)]), &mut body);
            ColourInfo::parse(&body)
        };
        for number in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert!(broken(number).is_ok_and(|info| info.is_some()));
        }
    }

    #[test]
    fn unspecified_colour_says_nothing() {
        assert!(ColourInfo { colour: Some(Colour::default()), hdr: Hdr::default() }.is_empty());
        assert!(!HDR10.is_empty());
    }
}
