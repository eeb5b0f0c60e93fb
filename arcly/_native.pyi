"""The native core of arcly. Use it through the package `arcly`, which re-exports what is meant for you."""

import builtins
import os
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import ClassVar, Literal, Protocol, final

from typing_extensions import Buffer

from arcly import contract

__version__: str
_C_API: object

class StreamError(Exception):
    """Base of all errors of arcly. `code` is stable and meant for programs, the text for people."""

    code: ClassVar[str]

class MalformedError(StreamError):
    """Bytes contradict the standard that they claim to follow."""

class UnsupportedError(StreamError):
    """Well-formed, but nothing that arcly can carry."""

class LimitExceededError(StreamError):
    """A configured bound would be passed."""

class NotFoundError(StreamError):
    """There is no such application."""

class AlreadyPublishingError(StreamError):
    """Somebody publishes to that key already."""

class ClosedError(StreamError):
    """The stream, session or engine has ended."""

class ListenError(StreamError):
    """An address cannot be listened on."""

class MisuseError(StreamError):
    """The caller broke a rule of the API."""

@final
class StreamKey:
    """The name of a stream: an application and an id within it, `live/cam`. Hashable, ordered, immutable.

    Args:
        app: application; may have several segments, `live/eu`.
        stream: id within the application, one segment.

    Raises:
        MalformedError: a name is empty, reserved (`.`, `..`), longer than 255 bytes, or has a space, a control
            character or one of `\\ / ? # % " < > : *`.
    """

    def __new__(cls, app: str, stream: str) -> StreamKey: ...
    @staticmethod
    def parse(text: str) -> StreamKey:
        """Return the key that prints as `text`: the part behind the last `/` is the stream."""

    @property
    def app(self) -> str:
        """The application."""

    @property
    def stream(self) -> str:
        """The id within the application."""

    def __getnewargs__(self) -> tuple[str, str]: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: StreamKey, /) -> bool: ...
    def __le__(self, other: StreamKey, /) -> bool: ...
    def __gt__(self, other: StreamKey, /) -> bool: ...
    def __ge__(self, other: StreamKey, /) -> bool: ...

@final
class Track:
    """One elementary stream of a stream, and what a decoder must know before its first frame. Hashable, immutable; can
    be copied and pickled. What is not among the arguments is not pickled: HDR that a container says beside the record,
    and rates of E-AC-3 that its record cannot say (22 050 and 16 000 Hz).

    Args:
        id: number within the stream, 0 to 255; by convention 0 is the first video and 1 the first audio track.
        codec: `"H264"`, `"H265"`, `"H266"`, `"AV1"`, `"VP9"`, `"VP8"`; `"AAC"`, `"Opus"`, `"MP3"`, `"MP2"`, `"AC3"`,
            `"EAC3"`, `"FLAC"`, `"G711A"`, `"G711U"`, `"G722"`, `"PCM"`; `"ID3"`, `"SCTE35"`, `"KLV"` or
            `"Message"`; in any case.
        config: the codec's record, for H.264 the AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1), for AAC
            the AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1).
        language: ISO 639-2/T code of what is spoken, three letters: `"eng"`. Renditions are named by it.
        dolby_vision: what `dvcC` or `dvvC` has in it, for pictures with Dolby Vision.
        size: width and height of the pictures of VP8 and VP9, whose records do not say it; default unknown.

    Raises:
        MalformedError: a record is broken.
        UnsupportedError: the record is valid and says something that arcly cannot carry.
        MisuseError: the codec is unknown, the language is none, or the size is none or not for this codec.
    """

    def __new__(
        cls,
        id: int,
        codec: str,
        config: bytes,
        *,
        language: str | None = None,
        dolby_vision: bytes | None = None,
        size: tuple[int, int] | None = None,
    ) -> Track: ...
    @property
    def id(self) -> int:
        """Number within the stream."""

    @property
    def kind(self) -> str:
        """`"video"`, `"audio"` or `"data"`."""

    @property
    def codec(self) -> str:
        """The codec's name, as in `Track`."""

    @property
    def rfc6381(self) -> str:
        """The codec as browsers want it (RFC 6381): `avc1.64001f`, `mp4a.40.2`."""

    @property
    def clock_rate_hz(self) -> int:
        """Ticks per second of the track's timestamps: 90 000 for video, the sample rate for audio."""

    @property
    def config(self) -> bytes:
        """The codec's record."""

    @property
    def width(self) -> int | None:
        """Pixels, after cropping; None for audio."""

    @property
    def height(self) -> int | None:
        """Pixels, after cropping; None for audio."""

    @property
    def fps(self) -> float | None:
        """Frames per second as the parameter sets say it; None when they do not. See `StreamStats.frames_per_s`."""

    @property
    def reorder_frames(self) -> int | None:
        """Pictures that may come before another and be shown after it, where the stream says it: 0 without B-frames."""

    @property
    def sample_rate_hz(self) -> int | None:
        """Samples per second that come out of the decoder; None for video."""

    @property
    def channels(self) -> int | None:
        """Audio channels, 0 when only the stream itself says it; None for video."""

    @property
    def language(self) -> str | None:
        """ISO 639-2/T code of what is spoken, `eng`; None when the sender did not say."""

    @property
    def dolby_vision(self) -> bytes | None:
        """The `DOVIDecoderConfigurationRecord`, as `dvcC` and `dvvC` have it; None for other pictures."""

    def __copy__(self) -> Track: ...
    def __deepcopy__(self, memo: object, /) -> Track: ...
    def __getnewargs_ex__(self) -> tuple[tuple[int, str, bytes], dict[str, object]]: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

@final
class MediaFrame:
    """One access unit. Its bytes are those of the log, read-only and not copied: `memoryview(frame)`,
    `numpy.frombuffer(frame, numpy.uint8)`, `bytes(frame)` (a copy). They live as long as the frame or any view of it.

    Format of the bytes: H.264 as NAL units, each behind a 4-byte big-endian length, without parameter sets (these
    are in `Track.config`); AAC as one raw access unit, without ADTS.

    Frames come out of a subscription. Make one of your own for a `MediaSource` or a test:

    Args:
        data: any contiguous buffer of bytes; it is copied.
        tracks: all tracks of its stream.
        track, pts, dts, duration, key, discontinuity: as in `PublishSession.publish`.

    Raises:
        MisuseError: `track` is none of the tracks, or two of them have one id.
    """

    def __new__(
        cls,
        data: Buffer,
        tracks: Sequence[Track],
        *,
        track: int,
        pts: int,
        dts: int | None = None,
        duration: int = 0,
        key: bool = False,
        discontinuity: bool = False,
    ) -> MediaFrame: ...
    @property
    def track(self) -> int:
        """`Track.id`."""

    @property
    def tracks(self) -> list[Track]:
        """All tracks of the stream at this frame."""

    @property
    def revision(self) -> int:
        """Counts the changes of `tracks`: as long as it is the same, they are."""

    @property
    def kind(self) -> str:
        """`"video"`, `"audio"` or `"data"`."""

    @property
    def codec(self) -> str:
        """The codec's name, as in `Track`."""

    @property
    def clock_rate_hz(self) -> int:
        """Ticks per second of `pts`, `dts` and `duration`."""

    @property
    def pts(self) -> int:
        """Presentation time in ticks; never before `dts`."""

    @property
    def dts(self) -> int:
        """Decoding time in ticks; strictly increasing within a track, except where `is_discontinuity`."""

    @property
    def pts_s(self) -> float:
        """Presentation time in seconds."""

    @property
    def dts_s(self) -> float:
        """Decoding time in seconds."""

    @property
    def duration(self) -> int:
        """Length in ticks; 0 when the publisher did not say."""

    @property
    def is_key(self) -> bool:
        """Whether the video can be decoded from here on."""

    @property
    def is_discontinuity(self) -> bool:
        """Whether this does not continue the frame before: the timeline breaks, or a slow reader was made to skip."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class PublishSession:
    """The right to publish one stream, from `Engine.start_publish` or `IngestContext.open_publish`. The stream ends
    with it: by `end`, or when the last reference goes.
    """

    @property
    def key(self) -> StreamKey:
        """What is published."""

    @property
    def handle(self) -> StreamHandle:
        """The native half of the stream: `arcly.StreamHandle(session.handle)` is what `Engine.get_stream` returns."""

    @property
    def active(self) -> bool:
        """Whether this session can still publish."""

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """Replace the tracks, exactly between the frame before and the frame after this call. Needed before the
        first frame.

        Raises:
            ClosedError: the session or stream has ended.
            MisuseError: two tracks have one id.
        """

    def publish(
        self,
        data: Buffer,
        *,
        track: int,
        pts: int,
        dts: int | None = None,
        duration: int = 0,
        key: bool = False,
        discontinuity: bool = False,
    ) -> None:
        """Publish one access unit. Costs one copy of `data` and no work per reader.

        Args:
            data: any contiguous buffer of bytes, in the format of `MediaFrame`. One that is a `MediaFrame` is not
                copied.
            track: `Track.id`.
            pts: presentation time in ticks of the track's clock.
            dts: decoding time in ticks; default `pts`. A step back of up to 1 s is straightened; a larger one, or
                one forward of more than 10 s, is taken as a new timeline and marked as discontinuity.
            duration: ticks; default 0, unknown.
            key: whether the video can be decoded from here on.
            discontinuity: whether this does not continue the frame before.

        Raises:
            ClosedError: the session or stream has ended.
            MisuseError: the stream has no such track.
            LimitExceededError: larger than all that the stream may keep (`ring_bytes`).
        """

    def publish_many(
        self,
        data: Sequence[Buffer],
        *,
        track: int,
        pts: Sequence[int],
        dts: Sequence[int] | None = None,
        duration: int = 0,
        keys: Sequence[bool] | None = None,
    ) -> None:
        """Publish many access units of one track in one call.

        Args:
            data: their buffers, as for `publish`.
            track: `Track.id` of all.
            pts: a presentation time for each.
            dts: a decoding time for each; default `pts`.
            duration: ticks of each; default 0, unknown.
            keys: for each whether the video can be decoded from there on; default none of them.

        Raises:
            MisuseError: the sequences are not of one length; nothing was published then. Or as `publish`: what stands
                before the offending frame was published.
            ClosedError, LimitExceededError: as `publish`.
        """

    def send(self, frame: contract.MediaFrame | MediaFrame) -> None:
        """Publish a frame of another stream: its times, its flags, and its tracks where they have changed. The bytes of
        an `arcly.MediaFrame` are shared, not copied.

        Raises:
            ClosedError, MisuseError, LimitExceededError: as `publish`.
        """

    def take_keyframe_request(self) -> bool:
        """Return whether a reader has asked for a key frame since the last call."""

    def end(self, reason: str = "ended by the application") -> None:
        """End the publish, and the stream with it; `reason` is what its `PUBLISH_ENDED` says. Idempotent.

        Under `AppSpec.reconnect_grace_s` the stream waits for a publisher instead: `PUBLISH_INTERRUPTED` says the
        reason, and after the grace time `PUBLISH_ENDED` that nobody came back. `Engine.end_stream` ends it at once.
        """

@final
class StreamHandle:
    """Native half of `arcly.StreamHandle`, which documents these."""

    @property
    def key(self) -> StreamKey: ...
    @property
    def protocol(self) -> str: ...
    @property
    def peer(self) -> str | None: ...
    @property
    def agent(self) -> str | None: ...
    @property
    def started_unix_ms(self) -> int: ...
    @property
    def session(self) -> int: ...
    @property
    def tracks(self) -> list[Track]: ...
    @property
    def bits_per_s(self) -> float: ...
    @property
    def frames_per_s(self) -> float: ...
    @property
    def video_frames(self) -> int: ...
    @property
    def other_frames(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def missed(self) -> int: ...
    @property
    def repaired(self) -> int: ...
    @property
    def viewers(self) -> int: ...
    @property
    def joined(self) -> int: ...
    @property
    def evicted(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def state(self) -> str: ...
    def subscribe(
        self, *, tracks: Sequence[int] | None = None, max_lag: int | None = None, protocol: str = "python"
    ) -> Cursor: ...
    def request_keyframe(self) -> None: ...
    def close(self) -> None: ...

@final
class Cursor:
    """Native half of `arcly.Subscription`: a cursor over the log of a stream. Any thread may use it, one at a time."""

    def drain(self, max: int) -> list[MediaFrame]:
        """Return what is waiting: up to `max` frames, perhaps none."""

    def frames(self, token: WakeToken, event_loop: AbstractEventLoop) -> AsyncIterator[MediaFrame]:
        """Return an iterator over frames for tasks of `event_loop`, one at a time; `token` is of the hub of that loop,
        and the same in all calls.
        """

    def batches(self, max: int, token: WakeToken, event_loop: AbstractEventLoop) -> AsyncIterator[list[MediaFrame]]:
        """Return the same over lists of 1 to `max` frames."""

    def wake(self, token: WakeToken) -> None:
        """Let the task that waits look again; on the thread of the loop."""

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait on this thread, with the GIL released, until there is something to drain or the end; False when
        `timeout_s` seconds came first.
        """

    def close(self) -> None:
        """Read no more, and wake whoever waits. Idempotent."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come: the end of the stream was read, or the reader was evicted."""

    @property
    def evicted(self) -> bool:
        """Whether the reader has missed more than it may. Final."""

    @property
    def missed(self) -> int:
        """Frames skipped because this reader was too slow."""

@final
class Demuxer:
    """A container on its way into a stream: bytes in, tracks and frames out, in the form of the bus.

    It is the receive buffer of an `asyncio.BufferedProtocol` at the same time: `get_buffer` gives native memory, and
    `buffer_updated` reads what a socket has put there.

    Args:
        format: `"ts"` (MPEG-TS of 188, 192 or 204 bytes a packet), `"flv"` (with Enhanced RTMP) or `"mp4"`
            (fragmented, or with `moov` in front).
        program: which program of a transport stream is read; default the first with media.

    Raises:
        MisuseError: the format is unknown.
    """

    def __new__(cls, format: str, *, program: int | None = None) -> Demuxer: ...
    def feed(self, data: Buffer) -> list[MediaFrame]:
        """Take the next bytes, however many; return the frames that are complete now, each with its `tracks`.

        What is damaged is left out and counted in `broken`. From 4 KiB on the GIL is released.

        Raises:
            MalformedError: this is not the format; what follows cannot be understood either.
            UnsupportedError: it is, and holds nothing that arcly can carry.
            LimitExceededError: it asks for more memory than a demuxer may hold.
        """

    def finish(self) -> list[MediaFrame]:
        """Nothing more comes: return the last frames. Raises as `feed`, if there never was a frame."""

    def get_buffer(self, sizehint: int | None = None) -> memoryview:
        """Return the receive buffer: 64 KiB, writable, always the same."""

    def buffer_updated(self, count: int) -> None:
        """Take the first `count` bytes of the receive buffer; `send_to` hands out what comes of them.

        Raises:
            MisuseError: `count` is more than the buffer holds.
            LimitExceededError: 65 536 items wait to be taken.
            MalformedError, UnsupportedError: as `feed`.
        """

    def send_to(self, sink: contract.FrameSink | PublishSession) -> int:
        """Hand all that waits to `sink`, changes of the tracks at their place; return how many frames that were.

        Into an `arcly.PublishSession` no Python runs.

        Raises:
            ClosedError: the stream has ended.
        """

    @property
    def tracks(self) -> list[Track]:
        """The tracks of the newest frame that was handed out."""

    @property
    def broken(self) -> int:
        """Parts that were left out because they are broken or nothing that arcly can carry."""

    @property
    def problem(self) -> str | None:
        """Why the last of them was left out."""

    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Muxer:
    """Frames in the form of the bus to the bytes of a container. A `contract.Muxer`.

    The bytes of all calls, one behind the other, are a file or a live stream of it.

    Args:
        format: `"ts"`, `"flv"` or `"mp4"` (fragmented).
        fragment_s: MP4: a fragment ends at the first key frame after so many seconds (without video: at any frame), and
            at any frame after five times as many, default 1; 0 makes one of every frame, for the least delay.
        bitrate_bps: MPEG-TS: bits a second, from 200 000 to 200 000 000, that the stream has at all times, null packets
            filling it up and every clock reference where its byte is. A frame then waits up to 0.6 s for its packets'
            turn, without a change of its times. Default: whatever the frames need.

    Raises:
        MisuseError: the format is unknown, or the rate out of range or not for this format.
    """

    def __new__(cls, format: str, *, fragment_s: float = 1.0, bitrate_bps: int | None = None) -> Muxer: ...
    def set_tracks(self, tracks: Sequence[Track]) -> bytes:
        """Begin, or go over to other tracks; return the bytes for that.

        Raises:
            UnsupportedError: the format cannot carry one of them.
            MisuseError: there is none, or two have one id.
        """

    def write(self, frame: contract.MediaFrame | MediaFrame) -> bytes:
        """Return the bytes for a frame; perhaps none yet.

        Where `frame.tracks` are others than before, goes over to them.

        Raises:
            MalformedError: the frame is not in the form of the bus.
            UnsupportedError, MisuseError: as `set_tracks`.
        """

    def needs_new_file(self, frame: contract.MediaFrame | MediaFrame) -> bool:
        """Whether a file cannot go on with the tracks of `frame`, and so ends in front of it: MP4 says at its beginning
        what is in it. A live stream goes on all the same.
        """

    @property
    def overrun_frames(self) -> int:
        """Frames left out because `bitrate_bps` had no room for them; of pictures always up to the next key frame."""

    def finish(self) -> bytes:
        """Return the last bytes."""

@final
class MediaReader:
    """A media file as frames: MPEG-TS, FLV or MP4, told by its contents, read a piece at a time. Blocks; the GIL is
    released meanwhile.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be opened.
        UnsupportedError: it is none of these.
    """

    def __new__(cls, path: str | os.PathLike[str]) -> MediaReader: ...
    def read(self, max_frames: int = 256) -> list[MediaFrame]:
        """Return the next frames, in the order of the file: fewer than asked for only at the end, none behind it, and
        in front of what cannot be read: that is raised by the next call.

        Raises:
            OSError: it cannot be read on.
            MalformedError: it is broken beyond use.
        """

    def rewind(self) -> None:
        """Go back to the beginning."""

    @property
    def format(self) -> str:
        """`"ts"`, `"flv"` or `"mp4"`."""

    @property
    def tracks(self) -> list[Track]:
        """The tracks of the newest frame."""

    @property
    def broken(self) -> int:
        """Parts that could not be used."""

    @property
    def problem(self) -> str | None:
        """Why the last of them could not."""

@final
class CodecInfo:
    """What a codec configuration says. Fields that a kind of media does not have are None."""

    codec: str
    """As `Track.codec`."""
    kind: str
    """`"video"`, `"audio"` or `"data"`."""
    rfc6381: str
    """The codec as browsers want it (RFC 6381); empty for what has no such name."""
    clock_rate_hz: int
    """Ticks per second of timestamps on the bus."""
    width: int | None
    """Pixels, after cropping."""
    height: int | None
    """Pixels, after cropping."""
    frame_rate: tuple[int, int] | None
    """Frames per second as a fraction in lowest terms; None when the configuration does not say."""
    sample_aspect_ratio: tuple[int, int] | None
    """Width to height of a pixel; None when the configuration does not say."""
    profile: int | None
    """As the codec numbers it: `profile_idc`, `general_profile_idc`, `seq_profile`."""
    level: int | None
    """As the codec numbers it: `level_idc`, `general_level_idc`, `seq_level_idx`."""
    high_tier: bool | None
    """Whether the high tier is used (H.265, H.266, AV1)."""
    bit_depth: int | None
    """Bits per luma sample."""
    chroma: str | None
    """`"4:0:0"`, `"4:2:0"`, `"4:2:2"` or `"4:4:4"`."""
    colour: tuple[int, int, int, bool] | None
    """Primaries, transfer, matrix by the code points of ITU-T H.273 (2: unspecified), and whether the range is full."""
    max_reorder_frames: int | None
    """Frames that may be decoded before and shown after another; 0: no B-frames; None when it is not said."""
    sample_rate_hz: int | None
    """Samples per second that come out of the decoder."""
    channels: int | None
    """Channels; 0 when only the stream itself says it."""
    samples_per_frame: int | None
    """Samples of one channel in a frame; 0 when they vary."""
    bits_per_sample: int | None
    """Of lossless codecs; 0 for others."""

def inspect(codec_name: str, config: Buffer) -> CodecInfo:
    """Return what a configuration record says; codecs and records as in `Track`.

    Raises:
        MalformedError: the record is broken.
        UnsupportedError: it is valid and says something that arcly cannot carry.
        MisuseError: the codec is unknown.
    """

def sniff(beginning: Buffer) -> str | None:
    """Return what a file or stream is by its first kilobyte: `"ts"`, `"flv"`, `"mp4"`, or None for none of them."""

def config_from_frame(codec_name: str, data: Buffer) -> bytes:
    """Return the configuration record that an access unit carries in itself, as elementary streams have it: parameter
    sets behind start codes, a sequence header, an ADTS header, a frame header; of E-AC-3 those of all its substreams.

    Raises:
        MalformedError: it has none: it is not the first one, or no key frame.
        UnsupportedError: the codec has none in-band.
        MisuseError: the codec is unknown.
    """

@final
class LoopHub:
    """The wake-ups of one event loop: a descriptor that becomes readable, and who it was for."""

    def __new__(cls) -> LoopHub: ...
    def fileno(self) -> int:
        """Return the descriptor to watch for reading."""

    def token(self) -> WakeToken:
        """Return a new token."""

    def serve(self) -> list[int]:
        """Run the tasks that wait for frames and whose tokens were woken since the last call, and silence the
        descriptor. Returns the ids of the tokens for which no task waits, each once.
        """

@final
class WakeToken:
    """What native code wakes."""

    @property
    def id(self) -> int:
        """Its number within the hub."""

    def wake(self) -> None:
        """Wake it."""

@final
class EventQueue:
    """Native half of `Engine.events`."""

    def pop(self) -> tuple[str, StreamKey, int, str | None, list[Track] | None] | None:
        """Return the oldest unread event: kind, key, Unix time in ms, reason, tracks."""

    @property
    def dropped(self) -> int:
        """Events lost because more than 1024 of publishers, or of readers, were unread."""

@final
class Engine:
    """Native half of `arcly.Engine`."""

    def __new__(
        cls,
        *,
        max_publishers: int,
        default_app: tuple[int, int, int | None, int | None, int | None, bool, float, float | None] | None,
        workers: int,
    ) -> Engine: ...
    def put_app(
        self, name: str, app: tuple[int, int, int | None, int | None, int | None, bool, float, float | None]
    ) -> None:
        """See `arcly.Engine.put_app`; the fields are those of `arcly.AppSpec`."""

    def remove_app(self, name: str) -> bool:
        """See `arcly.Engine.remove_app`."""

    def end(self, stream: StreamHandle, reason: str) -> bool:
        """See `arcly.Engine.end_stream`."""

    def start(self) -> None:
        """Start the native threads. Idempotent."""

    def drain(self) -> None:
        """Refuse new publishers; those there are go on."""

    def shutdown(self) -> None:
        """Refuse new publishers and end all streams."""

    def stop(self) -> None:
        """Shut down and end the native threads; waits for them. Idempotent."""

    def start_publish(
        self, key: StreamKey, protocol: str, peer: str | None, agent: str | None = None
    ) -> PublishSession:
        """See `arcly.Engine.start_publish`."""

    def get_stream(self, key: StreamKey) -> StreamHandle | None:
        """See `arcly.Engine.get_stream`."""

    def list_streams(self) -> list[StreamHandle]:
        """See `arcly.Engine.list_streams`."""

    def emit(self, key: StreamKey, kind: str, detail: str) -> None:
        """See `arcly.Engine.emit`."""

    def subscribe_events(self, token: WakeToken) -> EventQueue:
        """Return a queue of the events from now on; each wakes `token`."""

@final
class Inbox:
    """What native tasks have to say: requests to decide, warnings to log."""

    def __new__(cls, token: WakeToken) -> Inbox: ...
    def pop(self) -> PublishRequest | PlayRequest | tuple[str, str] | None:
        """Return the oldest notice: a request, or the level (`"info"`, `"warning"`, `"error"`) and text of a line
        for the log.
        """

    @property
    def dropped(self) -> int:
        """Notices lost because 1024 were waiting, or 512 where they told of something at level `"info"`."""

@final
class PublishRequest:
    """Somebody asks to publish. One that is never answered is refused."""

    @property
    def app(self) -> str:
        """Application as the peer wrote it, not checked."""

    @property
    def stream(self) -> str:
        """Stream as the peer wrote it, not checked."""

    @property
    def protocol(self) -> str:
        """How it comes: `rtmp`."""

    @property
    def query(self) -> str:
        """What stood behind `?`, undecoded."""

    @property
    def authorization(self) -> str:
        """The `Authorization` header of HTTP, or an empty string."""

    @property
    def peer(self) -> str:
        """The peer's address and port."""

    @property
    def agent(self) -> str:
        """What the peer calls itself."""

    @property
    def wants_leave(self) -> bool:
        """Whether it only asks if it may: its stream is taken when it has shown that it knows the passphrase, or was
        taken by another connection of the same publisher.
        """

    @property
    def has_leave(self) -> bool:
        """Whether it was told before that it may, and only its stream is left to be taken."""

    def secure(self, passphrase: str | None) -> None:
        """Demand a passphrase, or none, of a peer whose protocol encrypts with one; before the answer."""

    def accept(self, session: PublishSession) -> bool:
        """Let the peer publish into `session`, which it takes over. False when it has withdrawn or waited too long.

        Raises:
            ClosedError: the session or the request is used up.
        """

    def grant(self) -> bool:
        """Tell a peer that `wants_leave` that it may. False when it no longer waited.

        Raises:
            ClosedError: the request is used up.
        """

    def refuse(self, refusal: str, text: str) -> bool:
        """Turn the peer away. False when it no longer waited.

        Args:
            refusal: `"bad_name"`, `"unauthenticated"` (credentials are asked for), `"unauthorized"` or `"failed"`.
            text: what the peer is told.
        """

@final
class PlayRequest:
    """Somebody asks to play. One that is never answered is refused."""

    @property
    def key(self) -> StreamKey:
        """What."""

    @property
    def protocol(self) -> str:
        """How: `hls`."""

    @property
    def needs_stream(self) -> bool:
        """Whether `accept` needs the stream. HTTP knows it by its path."""

    @property
    def query(self) -> str:
        """What stood behind `?`, undecoded."""

    @property
    def authorization(self) -> str:
        """The `Authorization` header of HTTP, or an empty string."""

    @property
    def agent(self) -> str:
        """What the peer calls itself."""

    @property
    def peer(self) -> str:
        """The peer's address and port."""

    def secure(self, passphrase: str | None) -> None:
        """Demand a passphrase, or none, of a peer whose protocol encrypts with one; before the answer."""

    def accept(self, stream: StreamHandle | None = None) -> bool:
        """Let the peer play `stream`; HTTP knows it already. False when it no longer waited.

        Raises:
            ClosedError: the request was answered already.
        """

    def refuse(self, denial: str) -> bool:
        """Turn the peer away. False when it no longer waited.

        Args:
            denial: `"unauthenticated"` (credentials are asked for), `"forbidden"` or `"failed"`.
        """

@final
class RtmpListener:
    """Native half of `arcly.RtmpHandler`."""

    def __new__(
        cls,
        engine: Engine,
        inbox: Inbox,
        addr: str,
        *,
        connections_max: int,
        decision_deadline_s: float,
        handshake_timeout_s: float,
        idle_timeout_s: float,
        tls: TlsIdentity | None = None,
        egress: tuple[bool, float, float, int, float, float] | None = None,
    ) -> RtmpListener: ...
    @property
    def addr(self) -> tuple[str, int]:
        """IP and port that are listened on."""

    def viewers(self) -> list[tuple[int, StreamKey, str, str, str, int, int, int, int, int, str, int]]:
        """Return who watches endless streams: `arcly.Viewer`, field by field."""

    def kick(self, viewer: int) -> bool:
        """End a viewer within a second; False when it is not there."""

    def request_reconnect(self, server: str) -> None:
        """Ask all who can to come again at `server`, or where they are when it is empty."""

    def stop(self, done: WakeToken) -> None:
        """Stop listening and end all connections; wakes `done` when they have ended."""

@final
class WebRtcTransport:
    """Native half of `arcly.WebRtcHandler`: a port, and the sessions on it."""

    def __new__(
        cls,
        engine: Engine,
        inbox: Inbox,
        addr: str,
        *,
        hosts: list[str],
        stun_servers: list[str],
        sessions_max: int,
        connect_timeout_s: float,
        silence_timeout_s: float,
        tcp: bool,
        playout_delay_s: tuple[float, float] | None = None,
    ) -> WebRtcTransport: ...
    @property
    def addr(self) -> tuple[str, int]:
        """IP and port of the socket."""

    @property
    def discovered(self) -> list[tuple[str, int]]:
        """IPs and ports under which STUN servers see the socket."""

    @property
    def sessions(self) -> int:
        """Sessions now, those that are not connected yet among them."""

    def viewers(self) -> list[tuple[int, StreamKey, str, str, str, int, int, int, int, int, str, int]]:
        """Return who watches: `arcly.Viewer`, field by field."""

    def kick(self, viewer: int) -> bool:
        """End a viewer within a second; False when it is not there."""

    def publish(
        self,
        session: PublishSession,
        offer: str,
        address: str,
        agent: str,
        *,
        others: list[tuple[str, PublishSession]] = ...,
    ) -> tuple[str, str, str, list[str]]:
        """Answer the offer of a publisher, who takes `session` over, and for other encodings those with their names.

        Returns:
            The session's name, the answer, the name of the ICE session, and notes for people.

        Raises:
            MalformedError, UnsupportedError: the offer cannot be answered; `session` is still its owner's.
            LimitExceededError: as many sessions are open as may be.
        """

    def play(
        self,
        stream: StreamHandle,
        offer: str,
        address: str,
        agent: str,
        *,
        sound: StreamHandle | None = None,
        messages: StreamHandle | None = None,
        renditions: list[StreamHandle] = ...,
        passes_b_frames: bool = False,
    ) -> tuple[str, str, str, list[str]]:
        """Answer the offer of a viewer of `stream`, with the sound of `sound` and the messages of `messages` instead of
        its own; pictures that are not in the order in which they are shown are sent to it or left out. See `publish`.
        """

    def trickle(self, id: str, fragment: str, ice: str | None, done: WakeToken) -> WebRtcReply:
        """Take more candidates of a peer, or new credentials; wakes `done` when the reply is there."""

    def layer(self, id: str, done: WakeToken) -> WebRtcReply:
        """Ask which rendition a viewer is sent, and what its path carries, in bits per second; wakes `done`."""

    def close(self, id: str, done: WakeToken) -> WebRtcReply:
        """End a session; wakes `done` when it has ended."""

    def stop(self, done: WakeToken) -> None:
        """Say goodbye to all and close the port; wakes `done` then."""

@final
class WebRtcReply:
    """What became of a request to a session."""

    def take(self) -> tuple[str, str] | None:
        """Return the fragment that answers a restart of ICE and the name of the new ICE session, or None. Once.

        Raises:
            NotFoundError: there is no such session.
            MisuseError: the ICE session that was meant is over.
            MalformedError, LimitExceededError: the fragment.
        """

@final
class RtspListener:
    """Native half of `arcly.RtspHandler`."""

    def __new__(
        cls,
        engine: Engine,
        inbox: Inbox,
        addr: str,
        *,
        connections_max: int,
        decision_deadline_s: float,
        session_timeout_s: float,
        media_timeout_s: float,
        udp_port: int | None = None,
        srtp: tuple[str, bool] | None = None,
        back_channel: bool = False,
        groups: tuple[int, int, int] | None = None,
        users: Mapping[str, str] | None = None,
        tls: TlsIdentity | None = None,
        egress: tuple[bool, float, float, int, float, float] | None = None,
    ) -> RtspListener: ...
    @property
    def addr(self) -> tuple[str, int]:
        """IP and port that are listened on."""

    @property
    def udp_ports(self) -> tuple[int, int] | None:
        """Ports of RTP and RTCP in datagrams."""

    def viewers(self) -> list[tuple[int, StreamKey, str, str, str, int, int, int, int, int, str, int]]:
        """Return who plays: `arcly.Viewer`, field by field."""

    def kick(self, viewer: int) -> bool:
        """End a viewer within a second; False when it is not there."""

    def stop(self, done: WakeToken) -> None:
        """Stop listening and end all connections; wakes `done` when they have ended."""

@final
class SrtListener:
    """Native half of `arcly.SrtHandler`."""

    def __new__(
        cls,
        engine: Engine,
        inbox: Inbox,
        addr: str,
        *,
        connections_max: int,
        decision_deadline_s: float,
        idle_timeout_s: float,
        latency_ms: float,
        peer_latency_ms: float,
        key_bytes: int | None,
        publish_passphrase: str | None = None,
        read_passphrase: str | None = None,
    ) -> SrtListener: ...
    @property
    def addr(self) -> tuple[str, int]:
        """IP and port that are listened on."""

    def viewers(self) -> list[tuple[int, StreamKey, str, str, str, int, int, int, int, int, str, int]]:
        """Return who plays: `arcly.Viewer`, field by field."""

    def kick(self, viewer: int) -> bool:
        """End a viewer within a second; False when it is not there."""

    def connections(
        self,
    ) -> list[tuple[int, StreamKey, Literal["publisher", "viewer"], str, int, str, dict[str, int]]]:
        """Return all connections: `arcly.SrtConnection`, field by field."""

    def stop(self, done: WakeToken) -> None:
        """Stop listening and end all connections; wakes `done` when they have ended."""

@final
class Origin:
    """Which media there is under which path."""

    def __new__(cls) -> Origin: ...
    def put_hls(self, key: StreamKey, output: HlsOutput) -> None:
        """Serve `output` under `key`, in place of what was there, whose segments can still be had until it is over."""

    def put_live(self, key: StreamKey, stream: StreamHandle) -> None:
        """Serve `stream` without an end under `key`, until it ends."""

    def expire(self) -> None:
        """Let go of what is over: ended more than a minute ago, and longer than its playlists last."""

    def offer(self, key: StreamKey) -> None:
        """Put whoever asks for `key` while it is not live to the host, as a `PlayRequest`."""

    def withdraw(self, key: StreamKey) -> None:
        """Take an offer back."""

@final
class HttpSite:
    """What an origin answers, on all its ports and to hosts with a server of their own."""

    def __new__(
        cls,
        engine: Engine,
        origin: Origin,
        inbox: Inbox,
        *,
        app_socket: str | os.PathLike[str] | None,
        asks: bool,
        egress: tuple[bool, float, float, int, float, float],
    ) -> HttpSite: ...
    def viewers(self) -> list[tuple[int, StreamKey, str, str, str, int, int, int, int, int, str, int]]:
        """Return who watches endless streams: `arcly.Viewer`, field by field."""

    def kick(self, viewer: int) -> bool:
        """End a viewer within a second; False when it is not there."""

    def close(self) -> None:
        """End all endless streams."""

    def ask(
        self, method: str, target: str, headers: list[tuple[bytes, bytes]], peer: str, token: WakeToken
    ) -> HttpExchange:
        """Begin to answer a request; `token` is woken when there is something to look at.

        Raises:
            MalformedError: this is no request.
            MisuseError: `peer` is no `IP:PORT`.
        """

@final
class HttpExchange:
    """A request and its answer. Dropping it ends the answer."""

    @property
    def is_media(self) -> bool | None:
        """Whether the path names media; None while that is not known."""

    def head(self) -> tuple[int, list[tuple[bytes, bytes]]] | None:
        """Return status and headers; None while they are not known."""

    def take(self) -> tuple[bool, bytes | None]:
        """Return whether all was taken, and the next piece, if there is one.

        Raises:
            ClosedError: the rest will never come.
        """

@final
class HttpListener:
    """Native half of `arcly.HttpOrigin`: a port of a site."""

    def __new__(
        cls,
        site: HttpSite,
        addr: str,
        *,
        connections_max: int,
        tls: TlsIdentity | None = None,
        takes_plain: bool = False,
    ) -> HttpListener: ...
    @property
    def addr(self) -> tuple[str, int]:
        """IP and port that are listened on."""

    def stop(self, done: WakeToken) -> None:
        """Stop listening, finish what has begun; wakes `done` then."""

class SpillPlace(Protocol):
    """Keeps segments. Called on threads that may wait; whatever is raised is a failure of the disk."""

    def put(self, stream: str, name: str, data: bytes) -> None:
        """Keep a segment."""

    def get(self, stream: str, name: str) -> bytes:
        """Return a segment."""

    def remove(self, stream: str, name: str) -> None:
        """Forget a segment."""

    def end(self, stream: str) -> None:
        """Nothing is kept of that stream any more."""

@final
class Spill:
    """A place for segments that are too old to be in memory: a directory, or what the host keeps."""

    def __new__(cls, place: str | os.PathLike[str] | SpillPlace, memory_s: float) -> Spill: ...

@final
class HlsOutput:
    """The HLS of one publish, being made."""

    def __new__(
        cls,
        engine: Engine,
        stream: StreamHandle,
        inbox: Inbox,
        *,
        cmaf: tuple[float, float, float, int, bool] | None = None,
        ts: tuple[float, int, int] | None = None,
        encryption: tuple[Callable[[int], bytes] | None, int, bool] | None = None,
        spill: Spill | None = None,
        idle_s: float | None = None,
    ) -> HlsOutput: ...
    @property
    def has_dash(self) -> bool:
        """Whether there is CMAF of it in the clear, and so a manifest of DASH."""

    @property
    def spill_failures(self) -> int:
        """How often segments could not be moved to the disk, or not in time."""

    @property
    def window_s(self) -> float:
        """Seconds that a player can go back; 0 before the first segment."""

    @property
    def viewers(self) -> int:
        """Players that asked for the playlist lately."""

    def list_viewers(self) -> list[tuple[int, str, str, int, int]]:
        """Return number, peer, agent, since (Unix ms) and bytes of each of them, by age."""

    @property
    def sent_bytes(self) -> int:
        """Body bytes sent so far."""

@final
class Recording:
    """A stream that is being written into files. Stops, in order, when it is dropped."""

    def __new__(
        cls,
        engine: Engine,
        stream: StreamHandle,
        token: WakeToken,
        options: tuple[str, str, str, float, int, float, float],
        number: int,
    ) -> Recording:
        """Record `stream` from its newest key frame on; `token` is woken after each note.

        Args:
            engine: whose threads do it.
            stream: what is recorded.
            token: who is woken.
            options: directory, template, format, seconds and bytes of a file, seconds of a fragment, and seconds that
                one write may take.
            number: of the first file.
        """

    def poll(
        self,
    ) -> (
        tuple[
            str,
            tuple[int, str, int, int, int, bool, int, int, int, int] | None,
            str | None,
            str | None,
            bytes | None,
        ]
        | None
    ):
        """Return the oldest note that was not read: its kind (`began`, `closed` before it is made whole, `finished`,
        `ended`); the file (number, path, Unix ms at which it began, base in ticks, their Hz, whether it follows the one
        before, gap in microseconds, bytes, frames, microseconds); why it ended, as a code and in words; and
        `Outline.packed` of a file that is finished.
        """

    def outline(self, path: str) -> Outline | None:
        """Return what is where in the file of that path as far as it was written, without a look at it; None when it is
        not the one that is being written, or when its boxes say it.
        """

    def status(self) -> tuple[int, int, int, int, int, int, int, str | None]:
        """Return frames, bytes, microseconds, gaps, microseconds of them, frames missed, frames refused, last error."""

    @property
    def is_hanging(self) -> bool:
        """Whether a write has not returned yet that the recording was given up for."""

    def stop(self, done: WakeToken) -> None:
        """Write what is there and end; `done` is woken then."""

def recording_path(pattern: str, key: StreamKey, unix_ms: int, number: int) -> str:
    """Return the path that a recording has by `pattern`, relative, without an ending.

    Raises:
        MisuseError: the pattern is none.
    """

def pack_outline(path: str | os.PathLike[str]) -> bytes | None:
    """Return the outline of a whole file, to be kept when it goes where each read takes long: see `Outline`; None where
    few reads tell it again.

    Raises:
        OSError: it cannot be read, or is no recording.
    """

def fits_recording(pattern: str, key: StreamKey, path: str) -> bool:
    """Return whether a recording of that stream may have this path by `pattern`, without an ending.

    Raises:
        MisuseError: the pattern is none.
    """

def is_own_recording(path: str | os.PathLike[str], format: str) -> bool:
    """Return whether a file begins as recordings of that format do, or is empty."""

def make_whole(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Cut the torn end off a recording; return the bytes that are left and those that were cut. One of which nothing is
    left is removed.
    """

def finalize_recording(path: str | os.PathLike[str], is_stopped: Callable[[], bool]) -> int:
    """Make a fragmented recording into a file with `moov` in front, under the same name; return its bytes.

    Raises:
        InterruptedError: `is_stopped`, which is asked every few megabytes, said so. The file is as it was.
    """

def measure_recording(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return how many frames a file has, and how many microseconds."""

class RecordedFile(Protocol):
    """A file of a recording that is elsewhere. It is read in threads."""

    size: int
    """Its bytes."""

    def read(self, offset: int, size: int, /) -> bytes:
        """Return bytes from `offset` on, fewer only at its end."""

@final
class Outline:
    """What is where in a recorded file. Of MP4 only the boxes are read, of MPEG-TS and FLV everything; or one part
    where the outline was kept.

    Args:
        file: its path, or what reads it.
        before: what was found in it when it was shorter: it is gone on with.
        packed: what was kept of it; one that does not fit is passed over.
        grows: more of it will come.

    Raises:
        OSError: it cannot be read, or is no recording.
    """

    def __new__(
        cls,
        file: str | os.PathLike[str] | RecordedFile,
        before: Outline | None = None,
        *,
        packed: bytes | None = None,
        grows: bool = False,
    ) -> Outline: ...
    @property
    def packed(self) -> bytes | None:
        """The outline, to be kept, of a file of which everything was read; else None."""

    @property
    def fragments(self) -> int:
        """How many parts it has with which players may begin or go on."""

    @property
    def bytes(self) -> int:
        """Of memory that it takes, about."""

@final
class Vod:
    """A recording as players see it: HLS and DASH over its files, and parts of it as MP4."""

    def __new__(
        cls,
        pieces: Sequence[tuple[str | os.PathLike[str] | RecordedFile, Outline, int, int, int, int, bool, int]],
        has_ended: bool,
    ) -> Vod:
        """Play these files, in their order.

        Args:
            pieces: file, outline, number, position in the recording in microseconds, base in ticks, their Hz, whether
                it follows the one before, Unix ms at which it began.
            has_ended: no more of them come, and the last one does not grow.
        """

    @property
    def tracks(self) -> list[Track]:
        """All tracks that there ever are, pictures first."""

    @property
    def duration_s(self) -> float:
        """How long it plays, without what is missing."""

    def multivariant_playlist(self) -> str:
        """Return the HLS playlist that names those of the tracks: `0.m3u8`."""

    def media_playlist(self, track: int) -> str | None:
        """Return the HLS playlist of a track; None when there is no such track."""

    def manifest(self) -> str:
        """Return the DASH manifest."""

    def init_segment(self, number: int, track: int) -> bytes | None:
        """Return the init segment of a track from the file with that number on: `init-0-1.mp4`."""

    def segment(self, track: int, begin: int) -> bytes | None:
        """Return the segment of a track that is presented from that time on, in its ticks: `1-90000.m4s`.

        Raises:
            OSError: its file cannot be read, or is not what it was.
        """

    def clip(self, begin_s: float, duration_s: float) -> Clip | None:
        """Return a part of the recording, from the key frame at `begin_s` or before it on; None when nothing is there.

        Raises:
            OSError: a file cannot be read.
        """

    def remuxed(self, begin_s: float, duration_s: float) -> Remuxed | None:
        """Return the same of files that are no MP4; None when nothing is there, and where `clip` is to be asked.

        Raises:
            OSError: MP4 cannot carry it.
        """

@final
class Remuxed:
    """A part of a recording as a fragmented MP4 file: it is written while it is read, in order."""

    @property
    def pieces(self) -> int:
        """Into how many it is cut."""

    def piece(self, index: int) -> bytes:
        """Return one of them.

        Raises:
            OSError: a file cannot be read, or is not what it was.
        """

@final
class Clip:
    """A part of a recording as an MP4 file that does not exist: it is made while it is read."""

    @property
    def bytes(self) -> int:
        """Of all of it."""

    @property
    def begin_s(self) -> float:
        """When it begins in the recording."""

    def read(self, offset: int, max: int) -> builtins.bytes:
        """Return up to `max` of its bytes from `offset` on; none behind its end.

        Raises:
            OSError: a file cannot be read.
        """

@final
class FilePlayer:
    """Native half of `arcly.FileSource`."""

    def __new__(
        cls,
        engine: Engine,
        session: PublishSession,
        path: str | os.PathLike[str],
        *,
        looped: bool,
        real_time: bool,
    ) -> FilePlayer: ...
    def stop(self) -> None:
        """Stop, and end the stream."""

    @property
    def error(self) -> str | None:
        """What was wrong with the file, where the stream ended for that."""

@final
class RemoteTarget:
    """A stream of another server, and how to reach it. `str()` of it shows no secret."""

    def __new__(
        cls,
        url: str,
        *,
        retry: tuple[float, float, int | None],
        authorities: bytes | None,
        verify: bool,
    ) -> RemoteTarget: ...
    @property
    def protocol(self) -> str:
        """How it is spoken to: `rtmp`."""

@final
class Pull:
    """Native half of `arcly.PullSource`."""

    def __new__(
        cls,
        engine: Engine,
        remote: RemoteTarget,
        key: StreamKey,
        inbox: Inbox,
        token: WakeToken,
        *,
        grace_s: float,
        idle_timeout_s: float,
        back_channel: bool = False,
    ) -> Pull: ...
    def say(self, stream: StreamHandle | None) -> None:
        """Say the sound of `stream` over the back channel, or nothing more."""

    def status(self) -> tuple[str, int, str | None, int, int, int, int, str]:
        """Return state, since (Unix ms), last error, retries, frames, bytes, skipped frames, where it goes."""

    def stop(self, done: WakeToken) -> None:
        """End it in order; `done` is woken when it has."""

@final
class Push:
    """Native half of `arcly.PushTarget`."""

    def __new__(
        cls,
        engine: Engine,
        remote: RemoteTarget,
        stream: StreamHandle,
        inbox: Inbox,
        token: WakeToken,
        *,
        behind_max_s: float,
        enhanced: bool | None,
    ) -> Push: ...
    def status(self) -> tuple[str, int, str | None, int, int, int, int, str]:
        """Return state, since (Unix ms), last error, retries, frames, bytes, skipped frames, where it goes."""

    def stop(self, done: WakeToken) -> None:
        """End it in order; `done` is woken when it has."""

@final
class TlsIdentity:
    """Native half of `arcly.Tls`."""

    def __new__(cls, chain: bytes, key: bytes) -> TlsIdentity: ...
    def replace(self, chain: bytes, key: bytes) -> None:
        """Take another certificate for the connections to come."""
