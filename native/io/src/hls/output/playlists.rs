//! Playlists as they were last asked for: made once for all who ask.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use arcly_codec::MediaKind;
use arcly_pack::{cmaf::TrackView, hls::HlsView};
use bytes::Bytes;

use super::HlsOutput;
use crate::http::text::Text;

/// Name of the playlist of MPEG-TS: that of no track.
const TS: &str = "ts";

/// What a stream says of itself, and of those that show the same in other sizes.
#[derive(Default)]
pub(crate) struct Playlists {
    others: Mutex<Arc<[Other]>>,
    /// By track: the whole one, and the delta update.
    texts: Mutex<HashMap<String, [Option<Told>; 2]>>,
}

/// A stream that shows the same in another size.
#[derive(Clone)]
pub(crate) struct Other {
    /// From a playlist of this stream to its own: `../cam~720p/`.
    pub(crate) base: String,
    /// The sound of the group is that of the stream that names it.
    pub(crate) has_sound: bool,
    pub(crate) output: Weak<HlsOutput>,
}

/// A playlist, and of what it was made.
struct Told {
    /// What the packager says: known by where it lies.
    playlist: Bytes,
    /// What is said of other streams.
    reports: String,
    text: Arc<Text>,
}

impl Playlists {
    /// These show the same in other sizes.
    pub(crate) fn set_others(&self, others: Vec<Other>) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = others.into();
    }

    /// The playlist of a track, or its delta update, with how far the other streams of the group are.
    pub(crate) fn of_track(&self, view: &TrackView, is_delta: bool) -> Arc<Text> {
        let playlist = if is_delta { view.delta_update() } else { view.playlist() };
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let has_reports = !others.is_empty() && view.reports_others();
        let reports = if has_reports { reports(&others) } else { String::new() };
        self.text(&view.name, is_delta, playlist, reports)
    }

    /// The playlist of MPEG-TS.
    pub(crate) fn of_ts(&self, view: &HlsView) -> Arc<Text> {
        self.text(TS, false, view.media_playlist(), String::new())
    }

    fn text(&self, name: &str, is_delta: bool, playlist: &Bytes, reports: String) -> Arc<Text> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |told: &&Told| {
            let known = &told.playlist;
            known.as_ptr() == playlist.as_ptr() && known.len() == playlist.len() && told.reports == reports
        };
        if let Some(told) = texts.get(name).and_then(|[whole, delta]| if is_delta { delta } else { whole }.as_ref())
            && is_it(&told)
        {
            return told.text.clone();
        }
        let is_alone = reports.is_empty();
        let text = Text::kept(if is_alone { playlist.clone() } else { [playlist, reports.as_bytes()].concat().into() });
        let [whole, delta] = texts.entry(name.to_owned()).or_default();
        let place = if is_delta { delta } else { whole };
        *place = Some(Told { playlist: playlist.clone(), reports, text: text.clone() });
        text
    }
}

fn reports(others: &[Other]) -> String {
    let mut text = String::new();
    for other in others {
        let output = other.output.upgrade().filter(|output| !output.is_stale(Duration::ZERO));
        let Some(view) = output.and_then(|output| output.cmaf_view()) else { continue };
        let told = view.tracks.iter().filter(|it| other.has_sound || it.track.kind() == MediaKind::Video);
        told.for_each(|track| track.write_report(&other.base, &mut text));
    }
    text
}
