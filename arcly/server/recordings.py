"""What was recorded, over HTTP.

* `GET /api/recordings[?stream=live/cam&before=ID&limit=1000]`: what there is and what goes on, as JSON, newest first;
  where it says `more`, that is to be had by the `before` that it says: of streams that whoever asks may not play so
  many are passed over at a time that there may be more behind few, or none,
* `POST /api/recordings?stream=live/cam`: begins a recording, `POST /api/recordings/finish?stream=…`: ends it,
* `DELETE /api/recordings/<id>`: deletes one that has ended,
* `/recordings/id:<id>/index.m3u8` and `manifest.mpd`: HLS and DASH, with what they name in the same place,
* `/recordings/id:<id>/clip.mp4[?start=SECONDS&duration=SECONDS]`: a part of it as an MP4 file, from a key frame on; of
  TS and FLV recordings written on the way: who asks for a range of it waits until all of it was written once, but for
  who asks for all of a long one from its first byte on; who left before that and asks again waits for the rest,
* `/recordings/id:<id>/files/<number>`: a file as it was recorded.

No stream can be called `id:1`, so none of these is one of the paths that the origin answers itself.

Who may play a stream may see and play what was recorded of it; who may publish it may begin, end and delete recordings
of it, where the server lets anybody do that. See `Admission`.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from arcly._native import StreamKey, Vod
from arcly.engine import Engine
from arcly.errors import MalformedError, MisuseError, NotFoundError, StreamError
from arcly.recording import Recorder, RecordingInfo
from arcly.recording.playback import File
from arcly.recording.stored import StoredFile
from arcly.recording.take import RecordingStatus
from arcly.server.admission import Admission, brings_credentials, carry_dash, carry_hls
from arcly.server.asset import Asset
from arcly.server.listing import Listing
from arcly.server.own import is_own
from arcly.server.ranges import respond, wants_all
from arcly.server.written import Pieces, pieces

HEADER = "x-arcly-record"
"""See `is_own`."""

PROTOCOL = "recording"
"""What an authenticator is told as `Credentials.protocol`."""

NO_STORE = {"cache-control": "no-store"}

MEDIA = {"access-control-allow-origin": "*"}
"""Media may be played from any page."""

OPTIONS = MEDIA | {
    "allow": "GET, HEAD, OPTIONS",
    "access-control-allow-methods": "GET, HEAD, OPTIONS",
    "access-control-allow-headers": (
        "Range, If-None-Match, Authorization, CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status"
    ),
    "access-control-max-age": "86400",
}
"""As the live origin answers."""

HLS = "application/vnd.apple.mpegurl"

TYPES = {"mp4": "video/mp4", "ts": "video/mp2t", "flv": "video/x-flv"}

LISTED_MAX = 1000
"""Recordings in one answer."""

LOOKED_AT = 250
"""Recordings that are looked at together, whether whoever asks may play them."""

ASKED_MAX = 2000
"""Streams about which the authenticator is asked for one answer, but for those that are looked at together: there may
be one for each recording.
"""

MEASURED_PIECES_MAX = 32
"""So few of a clip that is written on the way, a minute or so, are made before the answer: then it can be sought in."""

CLIP_MAX_S = 86_400.0
"""The longest part: its tables are held while it is sent, some 60 MB."""

WHOLE = r"[1-9][0-9]{0,17}"
"""A number as `NumberConvertor` has it, but for 0."""

YEARS_S = 1e9
"""More than anything lasts."""


class NumberConvertor(Convertor[int]):
    """A number in a path: no longer than one of a recording, a segment or a time can be (64 bits)."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        """Return the number."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return its text."""
        return str(value)


register_url_convertor("number", NumberConvertor())


class Recordings:
    """The routes of recordings.

    Args:
        recorder: what makes them.
        engine: its authenticator says who may.
        may_change: whether recordings can be begun, ended and deleted at all.
    """

    def __init__(self, recorder: Recorder, engine: Engine, *, may_change: bool = False) -> None:
        self._recorder = recorder
        self._admission = admission = Admission(engine)
        self._playable = Listing(admission, protocol=PROTOCOL)
        self._changeable = Listing(admission, protocol=PROTOCOL, let_in=admission.change)
        self._may_change = may_change

    def routes(self) -> list[BaseRoute]:
        """Return them, for an application of Starlette."""
        return [
            Route("/api/recordings", self.list, methods=["GET"]),
            Route("/api/recordings", self.begin, methods=["POST"]),
            Route("/api/recordings/finish", self.finish, methods=["POST"]),
            Route("/api/recordings/{id:number}", self.delete, methods=["DELETE"]),
            Route("/recordings/id:{id:number}/index.m3u8", self.multivariant),
            Route("/recordings/id:{id:number}/manifest.mpd", self.manifest),
            Route("/recordings/id:{id:number}/{track:number}.m3u8", self.playlist),
            Route("/recordings/id:{id:number}/init-{number:number}-{track:number}.mp4", self.init_segment),
            Route("/recordings/id:{id:number}/{track:number}-{begin:number}.m4s", self.segment),
            Route("/recordings/id:{id:number}/clip.mp4", self.clip),
            Route("/recordings/id:{id:number}/files/{number:number}", self.file),
            Route("/recordings/id:{id:number}/{rest:path}", self.options, methods=["OPTIONS"]),
        ]

    async def list(self, request: Request) -> Response:
        """Answer with what there is and whoever asks may play, newest first."""
        key = key_of(request) if "stream" in request.query_params else None
        before, limit = whole_number_of(request, "before"), whole_number_of(request, "limit")
        limit = LISTED_MAX if limit is None else min(limit, LISTED_MAX)
        recordings, go_on, passed_over = await self._found(request, key, before, limit)
        changeable: set[StreamKey] = set()
        if self._may_change:
            changeable = await self._changeable.those(request, {recording.key for recording in recordings})
        running = {status.id: status for status in self._recorder.list_running()}
        body = [
            describe(recording, running.get(recording.id)) | {"may_change": recording.key in changeable}
            for recording in recordings
        ]
        said = {
            "recordings": body,
            "more": go_on is not None,
            "before": go_on,
            "may_change": self._may_change,
            # A wrong password looks like a server without recordings.
            "refused": passed_over and not (body or before or go_on) and brings_credentials(request),
        }
        return JSONResponse(said, headers=NO_STORE)

    async def _found(
        self, request: Request, key: StreamKey | None, before: int | None, limit: int
    ) -> tuple[Sequence[RecordingInfo], int | None, bool]:
        """Return so many of those that whoever asks may play, before which recording there may be more, and whether
        some were passed over.
        """
        found: list[RecordingInfo] = []
        asked: set[StreamKey] = set()
        refused: set[StreamKey] = set()  # What is passed over costs next to nothing, however much it is.
        while len(found) <= limit and len(asked) < ASKED_MAX:
            some = await self._recorder.list(key, limit=LOOKED_AT, before=before, without=refused)
            keys = {recording.key for recording in some}
            playable = await self._playable.those(request, keys)
            found += [recording for recording in some if recording.key in playable]
            refused |= keys - playable
            before = some[-1].id if len(some) == LOOKED_AT else None
            if before is None:
                break
            asked |= keys
        if len(found) > limit:
            found, before = found[:limit], found[limit - 1].id
        return found, before, bool(refused)

    async def begin(self, request: Request) -> Response:
        """Begin a recording."""
        key = key_of(request)
        await self._check(request, key)
        try:
            recording = await self._recorder.record(key)
        except NotFoundError as error:
            raise HTTPException(404, str(error)) from None
        except StreamError as error:
            raise HTTPException(409, str(error)) from None
        return JSONResponse({"id": recording}, status_code=201, headers=NO_STORE)

    async def finish(self, request: Request) -> Response:
        """End a recording."""
        key = key_of(request)
        await self._check(request, key)
        if not await self._recorder.finish(key):
            raise HTTPException(404, f"{key} is not being recorded")
        return Response(status_code=204)

    async def delete(self, request: Request) -> Response:
        """Delete a recording."""
        self._check_own(request)
        recording = await self._recorder.index.recording(request.path_params["id"])
        if recording is None:
            raise HTTPException(404, "no such recording")
        await self._check(request, recording.key)
        try:
            found = await self._recorder.delete(recording.id)
        except MisuseError as error:
            raise HTTPException(409, str(error)) from None
        if not found:
            raise HTTPException(404, "no such recording")
        return Response(status_code=204)

    async def multivariant(self, request: Request) -> Response:
        """Answer with the first playlist of HLS."""
        playlist = (await self._vod(request)).multivariant_playlist()
        return await self._text(request, carry_hls(playlist, self._query(request)), HLS)

    async def playlist(self, request: Request) -> Response:
        """Answer with the playlist of a track."""
        playlist = (await self._vod(request)).media_playlist(request.path_params["track"] & 0xFF)
        if playlist is None:
            raise HTTPException(404)
        return await self._text(request, carry_hls(playlist, self._query(request)), HLS)

    async def manifest(self, request: Request) -> Response:
        """Answer with the manifest of DASH."""
        manifest = (await self._vod(request)).manifest()
        return await self._text(request, carry_dash(manifest, self._query(request)), "application/dash+xml")

    async def init_segment(self, request: Request) -> Response:
        """Answer with an init segment."""
        number, track = request.path_params["number"], request.path_params["track"]
        return media((await self._vod(request)).init_segment(number, track & 0xFF))

    async def segment(self, request: Request) -> Response:
        """Answer with a segment."""
        recording, track, begin = (request.path_params[name] for name in ("id", "track", "begin"))
        await self._admit(request)
        with read_errors():
            return media(await self._recorder.playback.segment(recording, track & 0xFF, begin))

    async def clip(self, request: Request) -> Response:
        """Answer with a part of a recording as a file."""
        vod = await self._vod(request)
        start_s, duration_s = number_of(request, "start", 0.0), number_of(request, "duration", CLIP_MAX_S)
        part = (start_s, min(duration_s, CLIP_MAX_S))
        name = f"recording-{request.path_params['id']}.mp4"
        headers = {"content-type": "video/mp4", "content-disposition": f'attachment; filename="{name}"'} | MEDIA
        playback, asked = self._recorder.playback, request.headers.get("range")
        with read_errors():
            remuxed = await playback.run(vod.remuxed, *part)
            if remuxed is not None:
                is_ready = remuxed.pieces <= MEASURED_PIECES_MAX or playback.is_measured(vod, part)
                if request.method == "GET" and (asked is None or (wants_all(asked) and not is_ready)):
                    # It can begin at once: how long it is nobody need know. Players begin with `bytes=0-`, which need
                    # not be answered as a range (RFC 9110 §14.2). That there are ranges is not said: FFmpeg would
                    # leave this answer for one from behind the first bytes, and wait until all was written.
                    return StreamingResponse(pieces(remuxed, playback.run), headers=headers)
                sizes = await playback.measure(vod, part, remuxed, request.is_disconnected)
                made = Pieces(remuxed, sizes)
                tag = f'"{request.path_params["id"]}-{start_s}-{duration_s}-{made.size}"'
                return respond(request, made.size, tag, made.read, headers)
            clip = await playback.run(vod.clip, *part)
        if clip is None:
            raise HTTPException(404)
        tag = f'"{request.path_params["id"]}-{clip.begin_s}-{duration_s}-{clip.bytes}"'
        return respond(request, clip.bytes, tag, clip.read, headers)

    async def file(self, request: Request) -> Response:
        """Answer with a file as it was recorded."""
        await self._admit(request)
        with read_errors():
            found = await self._recorder.playback.file(request.path_params["id"], request.path_params["number"])
            if found is None:
                raise HTTPException(404)
            read, (size, changed_ns) = await self._recorder.playback.run(opened, found)
        segment = found.segment
        ending = (segment.path or segment.stored or "").rpartition(".")[2]
        name = f"recording-{segment.recording}-{segment.number}.{ending}"
        headers = {"content-type": TYPES[ending], "content-disposition": f'attachment; filename="{name}"'} | MEDIA
        return respond(request, size, f'"{segment.id}-{size}-{changed_ns}"', read, headers)

    async def options(self, request: Request) -> Response:
        """Answer a page of another origin that asks whether it may ask (Fetch §3.3.5), and whoever wants to know."""
        return Response(status_code=204, headers=OPTIONS)

    async def _vod(self, request: Request) -> Vod:
        await self._admit(request)
        with read_errors():
            return await self._recorder.playback.open(request.path_params["id"])

    async def _text(self, request: Request, body: str, content_type: str) -> Response:
        """Answer with a playlist, that of a day has a megabyte: it may be other in a second, or the same in a year."""
        with read_errors():
            asset = await self._recorder.playback.run(Asset.of, body.encode(), content_type)
        return asset.respond(request, more=MEDIA)

    async def _admit(self, request: Request) -> None:
        """Let in whoever may play the stream that was recorded."""
        recording = request.path_params["id"]
        if self._admission.has_pass(request, recording):
            return
        found = await self._recorder.index.recording(recording)
        if found is None:
            raise HTTPException(404)
        await self._admission.play(request, found.key, PROTOCOL)

    def _query(self, request: Request) -> str:
        return self._admission.query(request.path_params["id"])

    async def _check(self, request: Request, key: StreamKey) -> None:
        """Let in whoever may change what is recorded of a stream."""
        self._check_own(request)
        await self._admission.change(request, key, PROTOCOL)

    def _check_own(self, request: Request) -> None:
        if not self._may_change:
            raise HTTPException(403, "the server was started without --allow-record")
        if not is_own(request, HEADER):
            raise HTTPException(403, f"asked for by another site, or without {HEADER}")


@contextlib.contextmanager
def read_errors() -> Iterator[None]:
    """Answer 404 where a recording or a file is not there, and 503 where it cannot be read now."""
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise HTTPException(404) from None
    except OSError as error:
        raise HTTPException(503, str(error), headers={"retry-after": "5"}) from None


class OpenFile:
    """A file on the disk, opened once: it is read to its end though it is deleted meanwhile, or another is put in
    its place. Closed when nobody has it any more.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        stat = os.fstat(self._descriptor)
        self.stamp = (stat.st_size, stat.st_mtime_ns)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes from `offset` on."""
        return os.pread(self._descriptor, size, offset)


def opened(file: File) -> tuple[Callable[[int, int], bytes], tuple[int, int]]:
    """Return what reads parts of a file, in threads, and its bytes and when it was changed, in nanoseconds.

    Raises:
        OSError: it cannot be opened.
    """
    if isinstance(file.source, StoredFile):
        return file.source.read, file.stamp
    there = OpenFile(file.source)
    return there.read, there.stamp


def media(body: bytes | None) -> Response:
    """Return a segment: it never changes."""
    if body is None:
        raise HTTPException(404)
    # Not `public`: what came for an Authorization header no cache may give to others (RFC 9111 §3.5).
    headers = {"cache-control": "max-age=3600, immutable"} | MEDIA
    return Response(body, media_type="video/mp4", headers=headers)


def number_of(request: Request, name: str, default: float) -> float:
    """Return the number of seconds of that name in the query."""
    try:
        value = float(request.query_params.get(name, default))
    except ValueError:
        value = math.nan
    if not 0 <= value <= YEARS_S:
        raise HTTPException(400, f"{name} is a number of seconds")
    return value


def whole_number_of(request: Request, name: str) -> int | None:
    """Return the number of that name in the query; None where it has none."""
    text = request.query_params.get(name)
    if text is not None and not re.fullmatch(WHOLE, text):
        raise HTTPException(400, f"{name} is a number from 1 on")
    return None if text is None else int(text)


def key_of(request: Request) -> StreamKey:
    """Return the stream that a query names."""
    try:
        return StreamKey.parse(request.query_params.get("stream", ""))
    except MalformedError as error:
        raise HTTPException(400, f"stream=APP/STREAM is needed: {error}") from None


def describe(recording: RecordingInfo, running: RecordingStatus | None) -> dict[str, Any]:
    """Return what is known of a recording, ready for JSON."""
    body = asdict(recording)
    del body["key"]
    body |= {"app": recording.key.app, "stream": recording.key.stream}
    # One that was cut by the end of a server may still be gone on with.
    body["state"] = "waiting" if recording.ended_unix_ms is None else "ended"
    if running is not None:
        now = asdict(running)
        del now["key"]
        body |= now
    return body
