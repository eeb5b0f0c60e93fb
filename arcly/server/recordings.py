"""What was recorded, over HTTP.

* `GET /api/recordings[?stream=live/cam]`: what there is and what goes on, as JSON,
* `POST /api/recordings?stream=live/cam`: begins a recording, `POST /api/recordings/finish?stream=…`: ends it,
* `DELETE /api/recordings/<id>`: deletes one that has ended.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from arcly._native import StreamKey
from arcly.errors import MalformedError, MisuseError, NotFoundError, StreamError
from arcly.recording import Recorder, RecordingInfo
from arcly.recording.take import RecordingStatus
from arcly.server.own import is_own

HEADER = "x-arcly-record"
"""See `is_own`."""

NO_STORE = {"cache-control": "no-store"}


class Recordings:
    """The routes of recordings.

    Args:
        recorder: what makes them.
        may_change: whether everybody who can send a request may begin, end and delete recordings.
    """

    def __init__(self, recorder: Recorder, *, may_change: bool = False) -> None:
        self._recorder = recorder
        self._may_change = may_change

    def routes(self) -> list[BaseRoute]:
        """Return them, for an application of Starlette."""
        return [
            Route("/api/recordings", self.list, methods=["GET"]),
            Route("/api/recordings", self.begin, methods=["POST"]),
            Route("/api/recordings/finish", self.finish, methods=["POST"]),
            Route("/api/recordings/{id:int}", self.delete, methods=["DELETE"]),
        ]

    async def list(self, request: Request) -> Response:
        """Answer with what there is, newest first."""
        stream = request.query_params.get("stream")
        recordings = await self._recorder.list(None if stream is None else key_of(stream))
        running = {status.id: status for status in self._recorder.list_running()}
        body = [describe(recording, running.get(recording.id)) for recording in recordings]
        return JSONResponse({"recordings": body, "may_change": self._may_change}, headers=NO_STORE)

    async def begin(self, request: Request) -> Response:
        """Begin a recording."""
        self._check(request)
        try:
            recording = await self._recorder.record(key_of(request.query_params.get("stream", "")))
        except NotFoundError as error:
            raise HTTPException(404, str(error)) from None
        except StreamError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        return JSONResponse({"id": recording}, status_code=201, headers=NO_STORE)

    async def finish(self, request: Request) -> Response:
        """End a recording."""
        self._check(request)
        if not await self._recorder.finish(key_of(request.query_params.get("stream", ""))):
            raise HTTPException(404)
        return Response(status_code=204)

    async def delete(self, request: Request) -> Response:
        """Delete a recording."""
        self._check(request)
        try:
            found = await self._recorder.delete(request.path_params["id"])
        except MisuseError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        if not found:
            raise HTTPException(404)
        return Response(status_code=204)

    def _check(self, request: Request) -> None:
        if not self._may_change:
            raise HTTPException(403, "the server was started without --allow-record")
        if not is_own(request, HEADER):
            raise HTTPException(403, f"asked for by another site, or without {HEADER}")


def key_of(text: str) -> StreamKey:
    """Return the key of that name."""
    try:
        return StreamKey.parse(text)
    except MalformedError as error:
        raise HTTPException(400, str(error)) from None


def describe(recording: RecordingInfo, running: RecordingStatus | None) -> dict[str, Any]:
    """Return what is known of a recording, ready for JSON."""
    body = asdict(recording)
    del body["key"]
    body |= {"app": recording.key.app, "stream": recording.key.stream, "state": "ended"}
    if running is not None:
        now = asdict(running)
        del now["key"]
        body |= now
    return body
