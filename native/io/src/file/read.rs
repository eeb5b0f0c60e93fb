//! A media file to items, in order. Blocks: for threads that may.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use arcly_pack::{
    Item, PackError,
    container::{Container, ContainerDemuxer, LeftOut, SNIFF_BYTES},
    mp4::{Mp4Index, Step},
};
use bytes::Bytes;

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// Why a media file cannot be played or written.
#[derive(Debug)]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: FileErrorKind,
}

/// What is wrong with a media file.
#[derive(Debug)]
pub enum FileErrorKind {
    /// What the operating system said.
    Io(io::Error),
    /// It is none of the containers.
    Unknown,
    /// What the container said.
    Media(PackError),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.kind {
            FileErrorKind::Io(error) => error.fmt(f),
            FileErrorKind::Unknown => f.write_str("neither MPEG-TS, FLV nor MP4"),
            FileErrorKind::Media(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FileError {}

impl From<io::Error> for FileErrorKind {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<PackError> for FileErrorKind {
    fn from(error: PackError) -> Self {
        Self::Media(error)
    }
}

/// Reads a file from its beginning to its end, a piece at a time: its size does not matter.
#[derive(Debug)]
pub struct MediaReader {
    path: PathBuf,
    file: File,
    container: Container,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Read in its order.
    Pushed(Pushed),
    /// Read where its index says.
    Indexed(Box<Mp4Index>),
}

#[derive(Debug)]
struct Pushed {
    demuxer: ContainerDemuxer,
    buffer: Vec<u8>,
    at_end: bool,
    /// Said when all has been given out that was in front of it.
    failure: Option<PackError>,
}

impl MediaReader {
    /// Opens a file and looks what it is.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be read or is none of the containers.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        Self::try_open(path).map_err(|kind| FileError { path: path.to_owned(), kind })
    }

    fn try_open(path: &Path) -> Result<Self, FileErrorKind> {
        let mut file = File::open(path)?;
        let mut beginning = Vec::new();
        file.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut beginning)?;
        let container = Container::sniff(&beginning).ok_or(FileErrorKind::Unknown)?;
        let form = Form::new(container, &mut file)?;
        Ok(Self { path: path.to_owned(), file, container, form })
    }

    /// What kind of file it is.
    pub fn container(&self) -> Container {
        self.container
    }

    /// The next item; `None` at the end.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be read on.
    pub fn next_item(&mut self) -> Result<Option<Item>, FileError> {
        let next = match &mut self.form {
            Form::Pushed(pushed) => pushed.next_item(&mut self.file),
            Form::Indexed(index) => next_indexed(&mut self.file, index),
        };
        next.map_err(|kind| FileError { path: self.path.clone(), kind })
    }

    /// Goes back to the beginning.
    ///
    /// # Errors
    /// [`FileError`] when the file has become unreadable.
    pub fn rewind(&mut self) -> Result<(), FileError> {
        let form = Form::new(self.container, &mut self.file);
        self.form = form.map_err(|kind| FileError { path: self.path.clone(), kind })?;
        Ok(())
    }

    /// What could not be used so far.
    pub fn left_out(&self) -> LeftOut {
        match &self.form {
            Form::Pushed(pushed) => pushed.demuxer.left_out(),
            Form::Indexed(index) => {
                LeftOut::of_samples(index.broken_frames(), index.dropped_frames(), index.refused_tracks())
            }
        }
    }
}

impl Form {
    fn new(container: Container, file: &mut File) -> Result<Self, FileErrorKind> {
        let file_bytes = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(match container {
            Container::Mp4 => Self::Indexed(Box::new(Mp4Index::new(file_bytes))),
            _ => Self::Pushed(Pushed {
                demuxer: ContainerDemuxer::new(container, None),
                buffer: vec![0; READ_BYTES],
                at_end: false,
                failure: None,
            }),
        })
    }
}

impl Pushed {
    fn next_item(&mut self, file: &mut File) -> Result<Option<Item>, FileErrorKind> {
        loop {
            if let Some(item) = self.demuxer.poll() {
                return Ok(Some(item));
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure.into());
            }
            if self.at_end {
                return Ok(None);
            }
            let pushed = match file.read(&mut self.buffer) {
                Ok(0) => {
                    self.at_end = true;
                    self.demuxer.finish()
                }
                Ok(read) => self.demuxer.push(self.buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                Err(error) => return Err(error.into()),
            };
            if let Err(error) = pushed {
                (self.at_end, self.failure) = (true, Some(error));
            }
        }
    }
}

fn next_indexed(file: &mut File, index: &mut Mp4Index) -> Result<Option<Item>, FileErrorKind> {
    loop {
        match index.step()? {
            Step::Item(item) => return Ok(Some(item)),
            Step::End => return Ok(None),
            Step::Read { offset, bytes } => {
                let mut piece = vec![0; bytes];
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(&mut piece)?;
                index.supply(offset, Bytes::from(piece));
            }
        }
    }
}
