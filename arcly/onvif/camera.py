"""What a camera says of its streams (ONVIF core and media service specifications, version 1 of the media service)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit, urlunsplit
from xml.sax.saxutils import escape

from arcly.errors import MisuseError
from arcly.onvif.soap import SoapError, Tree, envelope, parse
from arcly.services._http import HttpClient, HttpFailedError

DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA = "http://www.onvif.org/ver10/media/wsdl"
SCHEMA = "http://www.onvif.org/ver10/schema"

ANSWER_BYTES_MAX = 1 << 20
"""Bytes of an answer; those of cameras with dozens of profiles have a tenth."""

PROFILES_MAX = 64

CLOCK_MAX = timedelta(days=36_525)
"""How wrong a camera's clock may be: what is further off is no time to count with."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One way in which a camera sends."""

    token: str
    """Its name between programs."""

    name: str
    """Its name for people."""

    encoding: str
    """`H264`, `JPEG`; of version 1 of the media service H.265 is not known."""

    width: int
    """Of the pictures; 0 when it is not said."""

    height: int
    """Of the pictures; 0 when it is not said."""


class OnvifCamera:
    """A camera.

    Args:
        url: of its device service, as `discover` finds it: `http://HOST/onvif/device_service`.
        user: who asks; empty for nobody.
        password: goes to the camera as a digest only.
        deadline_s: seconds that each question may take, default 5; 0.01 to 60.

    Raises:
        MisuseError: `url` is no URL, or `deadline_s` out of range.
    """

    def __init__(self, url: str, user: str = "", password: str = "", *, deadline_s: float = 5.0) -> None:
        self._user, self._password, self._deadline_s = user, password, deadline_s
        self._device_url = url
        self._device = self._client(url)
        self._media: HttpClient | None = None
        self._clock: timedelta | None = None

    def _client(self, url: str) -> HttpClient:
        headers = {"Content-Type": "application/soap+xml; charset=utf-8"}
        return HttpClient(url, deadline_s=self._deadline_s, concurrency=2, body_max=ANSWER_BYTES_MAX, headers=headers)

    async def profiles(self) -> list[Profile]:
        """Return the ways in which it sends, the camera's favourite first.

        Raises:
            SoapError: it does not answer, or says no.
        """
        tree = await self._ask_media(f'<GetProfiles xmlns="{MEDIA}"/>')
        found = [profile for profile in tree.all("Profiles") if profile.get("token")]
        return [_profile(profile) for profile in found[:PROFILES_MAX]]

    async def stream_uri(self, profile: Profile | str, *, with_password: bool = False) -> str:
        """Return where a profile is played: an RTSP URL for `PullSource`.

        Args:
            profile: which.
            with_password: put user and password into it.

        Raises:
            SoapError: it does not answer, or says no.
        """
        token = profile.token if isinstance(profile, Profile) else profile
        stream = f'<Stream xmlns="{SCHEMA}">RTP-Unicast</Stream>'
        transport = f'<Transport xmlns="{SCHEMA}"><Protocol>RTSP</Protocol></Transport>'
        body = f"<StreamSetup>{stream}{transport}</StreamSetup><ProfileToken>{escape(token)}</ProfileToken>"
        tree = await self._ask_media(f'<GetStreamUri xmlns="{MEDIA}">{body}</GetStreamUri>')
        uri = self._at_camera(tree.text("Uri"), ("rtsp", "rtsps"))
        if not with_password or not self._user:
            return uri
        parts = urlsplit(uri)
        login = f"{quote(self._user, safe='')}:{quote(self._password, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))

    async def snapshot_uri(self, profile: Profile | str) -> str:
        """Return where a picture of a profile is fetched by HTTP.

        Raises:
            SoapError: it does not answer, or says no.
        """
        token = profile.token if isinstance(profile, Profile) else profile
        body = f"<ProfileToken>{escape(token)}</ProfileToken>"
        tree = await self._ask_media(f'<GetSnapshotUri xmlns="{MEDIA}">{body}</GetSnapshotUri>')
        return self._at_camera(tree.text("Uri"), ("http", "https"))

    def _at_camera(self, uri: str, schemes: tuple[str, ...]) -> str:
        """Return an address that the camera gave, at the host where it was reached: behind a NAT it does not know that
        one, and nobody else shall be named by it.
        """
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError:
            raise SoapError(f"the camera gave no URL: {uri[:80]!r}") from None
        if parts.scheme not in schemes or not uri.isprintable():
            raise SoapError(f"the camera gave no URL of {' or '.join(schemes)}: {uri[:80]!r}")
        host = urlsplit(self._device_url).hostname or ""
        host = f"[{host}]" if ":" in host else host
        return urlunsplit(parts._replace(netloc=host if port is None else f"{host}:{port}"))

    async def _ask_media(self, body: str) -> Tree:
        if self._media is None:
            category = "<Category>Media</Category>"
            tree = await self._ask(self._device, f'<GetCapabilities xmlns="{DEVICE}">{category}</GetCapabilities>')
            media = tree.first("Media")
            url = self._at_camera(media.text("XAddr") if media else "", ("http", "https"))
            try:
                self._media = self._client(url)
            except MisuseError as error:
                raise SoapError(f"the camera gave no URL of its media service: {error}") from None
        return await self._ask(self._media, body)

    async def _ask(self, client: HttpClient, body: str) -> Tree:
        if self._clock is None:
            self._clock = await self._measure_clock()
        return await self._exchange(client, envelope(body, self._user, self._password, self._clock))

    async def _measure_clock(self) -> timedelta:
        """How much the camera is ahead of us. It may be asked by anybody (core specification §5.9.4.3)."""
        try:
            tree = await self._exchange(self._device, envelope(f'<GetSystemDateAndTime xmlns="{DEVICE}"/>'))
            utc = tree.first("UTCDateTime")
            fields = (
                [int(utc.text(name)) for name in ("Year", "Month", "Day", "Hour", "Minute", "Second")] if utc else []
            )
            clock = datetime(*fields, tzinfo=UTC) - datetime.now(UTC) if fields else timedelta()  # type: ignore[arg-type, misc]
            return clock if abs(clock) < CLOCK_MAX else timedelta()
        except (SoapError, ValueError, OverflowError):
            return timedelta()

    async def _exchange(self, client: HttpClient, request: bytes) -> Tree:
        try:
            answer = await client.request("POST", request)
        except HttpFailedError as error:
            raise SoapError(str(error)) from None
        if answer.status == 401:
            raise SoapError("the camera does not know this user and password")
        try:
            tree = parse(answer.body)
        except SoapError:
            if answer.status != 200:
                raise SoapError(f"the camera answers with {answer.status}") from None
            raise
        fault = tree.first("Fault")
        if fault is not None:
            raise SoapError(f"the camera says no: {(fault.text('Text') or fault.text('faultstring'))[:200]!r}")
        return tree


def _profile(profile: Tree) -> Profile:
    video = profile.first("VideoEncoderConfiguration")
    encoding = video.text("Encoding") if video else ""
    width, height = (_number(video, name) for name in ("Width", "Height"))
    return Profile(profile.get("token")[:200], profile.text("Name")[:80], encoding[:20], width, height)


def _number(video: Tree | None, name: str) -> int:
    text = video.text(name) if video else ""
    return int(text[:6]) if text.isascii() and text.isdecimal() else 0
