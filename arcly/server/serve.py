"""`arcly serve`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from starlette.types import ASGIApp

from arcly._native import StreamKey
from arcly._signals import STOP_SIGNALS, cancelling
from arcly.contract import Credentials, InboundProtocol
from arcly.engine import Engine
from arcly.errors import MalformedError, MisuseError, StreamError
from arcly.recording import Recorder
from arcly.server.access import authenticator_of
from arcly.server.admission import Admission
from arcly.server.application import answering
from arcly.server.listeners import OFF, Listeners, page_url
from arcly.server.listing import Listing
from arcly.server.naming import naming
from arcly.server.record_options import recorder_arguments
from arcly.server.recordings import Recordings
from arcly.server.said import log_to_stderr, reason_of
from arcly.server.status import status
from arcly.server.thumbnails import thumbnail_routes
from arcly.server.viewers import Viewers
from arcly.server.web import RESERVED_APPS, create_app
from arcly.services.auth import AllOf
from arcly.sinks.push import PushTarget
from arcly.sources.file import FileSource
from arcly.sources.pull import PullSource
from arcly.storage import open_storage
from arcly.thumbnail import Thumbnails
from arcly.tls import Tls

log = logging.getLogger("arcly")

DEMO_CLIP = Path(__file__).with_name("demo.flv")
DEMO_KEY = StreamKey("live", "demo")

LEAVE_S = 10.0
"""How long threads may still work when everything has stopped."""

CERTIFICATE_LOOK_S = 30.0
"""How often the files of the certificate are looked at."""


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit status."""
    log_to_stderr(options.log_level)
    # The application behind the origin is our own control plane; its access log would be a line a second per open page.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        asyncio.run(serve_and_leave(options))
    except asyncio.CancelledError:
        log.info("stopped before everything was started")
    except (StreamError, OSError) as error:
        log.error("%s", reason_of(error))
        return 1
    return 0


async def serve_and_leave(options: argparse.Namespace) -> None:
    """Serve, and then let the process end, whatever holds up its threads."""
    try:
        await serve(options)
    finally:
        leaving = threading.Timer(LEAVE_S, leave)
        leaving.daemon = True
        leaving.start()


def leave() -> None:
    """End the process. A thread that waits for a disk cannot be ended, and Python would wait for it."""
    log.error("a disk or a storage does not answer: what waits for it is left behind")
    logging.shutdown()
    os._exit(1)


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM; a second one cuts the draining short."""
    with tempfile.TemporaryDirectory(prefix="arcly-") as directory:
        socket = Path(directory) / "app.sock"
        tls = certificate(options)
        listeners = Listeners.of(options, tls, socket)
        recorder = recorder_of(options)
        protocols: list[InboundProtocol] = [
            *([recorder] if recorder else []),
            *listeners.protocols(options),
            *metrics(options, listeners),
            *streams(options),
        ]
        asked = authenticator_of(options)
        engine = Engine(*protocols, authenticator=AllOf(Names(), *([asked] if asked else [])))
        async with contextlib.AsyncExitStack() as stack:
            with cancelling(STOP_SIGNALS):
                if listeners.http is not None:
                    thumbnails = Thumbnails(engine.get_stream)
                    stack.push_async_callback(thumbnails.close)
                    hides = asked is not None and not options.open_play
                    listing = Listing(Admission(engine)) if hides else None
                    app = application(options, engine, listeners, recorder, thumbnails, listing)
                    await stack.enter_async_context(answering(app, socket))
                await stack.enter_async_context(engine)
                listeners.check()
                if listeners.http is not None and (listeners.http.address or listeners.http.https_address):
                    log.info("open %s in a browser", page_url(options, listeners.http))
                if tls is not None:
                    renewing = asyncio.create_task(renew(tls))
                    stack.callback(renewing.cancel)
                await engine.until_signal(drain_s=options.drain)


def recorder_of(options: argparse.Namespace) -> Recorder | None:
    """Return what records, when something does.

    Raises:
        MisuseError: what belongs to a recorder is given, but no directory.
    """
    if not options.record:
        for flag, given in {
            "--record-to": options.record_to,
            "--record-move": options.record_move,
            "--record-streams": options.record_streams,
            "--record-keep": options.record_keep,
            "--allow-record": options.allow_record,
        }.items():
            if given:
                raise MisuseError(f"{flag} needs --record DIR: that is where files are recorded")
        return None
    if options.record_move and not options.record_to:
        raise MisuseError("--record-move needs --record-to")
    with naming("--record-to"):
        storage = None if options.record_to is None else open_storage(options.record_to)
    with naming("--record-…"):
        return Recorder(options.record, storage=storage, **recorder_arguments(options))


def application(
    options: argparse.Namespace,
    engine: Engine,
    listeners: Listeners,
    recorder: Recorder | None,
    thumbnails: Thumbnails,
    listing: Listing | None,
) -> ASGIApp:
    """Return the page and its API."""
    webrtc = listeners.webrtc
    return create_app(
        lambda: status(engine, listeners),
        Viewers(listeners.named(), may_kick=options.allow_kick),
        addresses=options.show_addresses,
        listing=listing,
        signalling=webrtc.asgi() if webrtc else None,
        recordings=None if recorder is None else Recordings(recorder, engine, may_change=options.allow_record),
        thumbnails=thumbnail_routes(thumbnails, engine),
    )


def metrics(options: argparse.Namespace, listeners: Listeners) -> list[InboundProtocol]:
    """Return what `--metrics` asks for.

    Raises:
        MisuseError: the address is none, or the package that it needs is not installed.
    """
    if options.metrics == OFF:
        return []
    try:
        import_module("arcly.services.prometheus")  # It says what to install.
        from arcly.server.metrics import Metrics
    except ImportError as error:
        raise MisuseError(f"--metrics: {error}") from None
    with naming("--metrics"):
        return [Metrics(options.metrics, listeners.http, listeners.srt)]


def streams(options: argparse.Namespace) -> list[InboundProtocol]:
    """Return the streams that come and go without a listener: files, and those of other servers."""
    demo = [FileSource(DEMO_CLIP, DEMO_KEY)] if options.demo else []
    return [
        *demo,
        *links("--pull", options.pull, PullSource),
        *links("--pull-on-demand", options.pull_on_demand, partial(PullSource, on_demand=True)),
        *links("--push", options.push, PushTarget),
    ]


def links(option: str, wishes: list[str], link: Callable[[str, StreamKey], InboundProtocol]) -> list[InboundProtocol]:
    """Return what an option with KEY=URL asks for.

    Raises:
        MisuseError: one is not of this form, or its URL is none.
    """
    pairs = keys_and_urls(option, wishes)
    with naming(option):
        return [link(url, key) for key, url in pairs]


def keys_and_urls(option: str, wishes: list[str]) -> list[tuple[StreamKey, str]]:
    """Return the two sides of each KEY=URL.

    Raises:
        MisuseError: one is not of this form. It is not repeated: there may be a password in it.
    """
    found = [wish.partition("=") for wish in wishes]
    if not all(equals and "://" not in key for key, equals, _ in found):
        raise MisuseError(f"{option} needs KEY=URL: live/cam=rtmp://HOST/APP/STREAM")
    with naming(f"{option} needs APP/STREAM in front of =URL"):
        return [(StreamKey.parse(key), url) for key, _, url in found]


def certificate(options: argparse.Namespace) -> Tls | None:
    """Return what `--tls-cert` and `--tls-key` name.

    Raises:
        MisuseError: one is missing that is needed.
    """
    given = [options.tls_cert, options.tls_key]
    if all(given):
        return Tls(options.tls_cert, options.tls_key)
    if any(given) or any(address != OFF for address in (options.rtmps, options.rtsps, options.https)):
        raise MisuseError("TLS needs both --tls-cert and --tls-key")
    return None


async def renew(tls: Tls) -> None:
    """Take over a renewed certificate soon after it was written."""
    while True:
        await asyncio.sleep(CERTIFICATE_LOOK_S)
        try:
            if tls.reload_if_changed():
                log.info("[tls] the certificate was renewed")
        except (StreamError, OSError) as error:
            log.error("[tls] the certificate is not renewed: %s", error)


class Names:
    """Everybody may publish, but not under names with which the page's own paths begin: their links lead astray."""

    async def authorize_publish(self, key: StreamKey, credentials: Credentials) -> bool:
        """Let everybody publish.

        Raises:
            MalformedError: the page could not show the stream.
        """
        if key.app.partition("/")[0] in RESERVED_APPS:
            names = ", ".join(sorted(RESERVED_APPS))
            raise MalformedError(f"no application may be called so: the page has {names} for itself")
        return True

    async def authorize_play(self, key: StreamKey, credentials: Credentials) -> bool:
        """Let everybody play."""
        return True
