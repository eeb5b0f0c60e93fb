//! Media of a publish that nobody has decided on yet. Not everybody waits for the answer: nginx-rtmp and SRS, which push to other servers,
//! send on behind `publish`, and their headers once.

use super::super::Media;

/// What came early of one publish.
#[derive(Debug, Default)]
pub(super) struct Early {
    media: Vec<Media>,
    bytes: usize,
}

impl Early {
    pub(super) fn push(&mut self, media: Media) {
        self.bytes = self.bytes.saturating_add(media.body.len()).saturating_add(size_of::<Media>());
        self.media.push(media);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn into_media(self) -> Vec<Media> {
        self.media
    }
}
