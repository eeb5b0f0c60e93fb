//! FLV files and HTTP-FLV; the tags must not depend on how the input is cut, and written again are read the same.

use arcly_pack::{
    container::Container,
    flv::{FlvError, FlvReader, Tag, TagKind},
};

use super::Target;
use crate::{
    flv::{self, FILE_HEADER, publishes, write_tags},
    flv_edits::edit_file,
    mutate::{Input, MAX_INPUT_BYTES},
    play_back,
};

pub const TARGET: Target = Target {
    name: "flv_file",
    vectors,
    edit: Some(edit_file),
    // Less than a tag, and so no more than the input.
    buffered_bytes_max: MAX_INPUT_BYTES,
    run,
};

fn vectors() -> Vec<Vec<u8>> {
    publishes().iter().map(|tags| [&FILE_HEADER[..], tags].concat()).collect()
}

fn run(input: &Input) -> usize {
    let mut held = 0;
    let whole = read(Input::whole(input.bytes.clone()).pieces(), &mut held);
    assert_eq!(read(input.pieces(), &mut held), whole, "the cuts change the tags");
    let tags: Vec<_> = whole.into_iter().flatten().collect();
    let again = read([&FILE_HEADER[..], &written(&tags)].into_iter(), &mut held);
    assert_eq!(again, tags.into_iter().map(Ok).collect::<Vec<_>>(), "the round trip changes the tags");
    if play_back::is_due(&input.bytes) {
        play_back::stream(Container::Flv, input);
    }
    held
}

/// Tags and errors up to the one that nothing follows.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, held: &mut usize) -> Vec<Result<Tag, FlvError>> {
    let (mut reader, mut results) = (FlvReader::new(), Vec::new());
    for piece in pieces {
        reader.feed(piece);
        while let Some(result) = reader.next_tag().transpose() {
            let is_end = matches!(result, Err(FlvError::Malformed { .. }));
            results.push(result);
            if is_end {
                check_end(&mut reader, results.last());
                return results;
            }
        }
        *held = reader.buffered_bytes().max(*held);
    }
    results
}

/// More of what is no FLV gives the same error.
fn check_end(reader: &mut FlvReader, error: Option<&Result<Tag, FlvError>>) {
    reader.feed(&[9; 20]);
    assert_eq!(reader.next_tag().transpose().as_ref(), error, "another error behind the first");
}

fn written(tags: &[Tag]) -> Vec<u8> {
    let tag = |tag: &Tag| flv::Tag {
        kind: match tag.kind {
            TagKind::Audio => flv::AUDIO,
            TagKind::Video => flv::VIDEO,
            TagKind::Script => 18,
        },
        timestamp_ms: tag.timestamp_ms,
        body: tag.body.to_vec(),
    };
    write_tags(&tags.iter().map(tag).collect::<Vec<_>>())
}
