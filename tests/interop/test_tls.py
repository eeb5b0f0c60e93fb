"""RTMPS and HTTPS with a certificate authority of our own: real clients check the certificate."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from conftest import eventually, run, serving

import arcly


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs."""
    return trustme.CA()


def issue(authority: trustme.CA, folder: Path, name: str = "localhost") -> arcly.Tls:
    """A certificate for `name` in two files."""
    cert = authority.issue_cert(name, "127.0.0.1")
    chain = b"".join(pem.bytes() for pem in cert.cert_chain_pems)
    (folder / "cert.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(cert.private_key_pem.bytes())
    return arcly.Tls(folder / "cert.pem", folder / "key.pem")


async def closed(writer: asyncio.StreamWriter) -> None:
    """Leave, without waiting for the goodbye of TLS."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def subject_names(port: int, authority: trustme.CA) -> set[str]:
    """The names in the certificate that a new connection gets; checks it against the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.check_hostname = False
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate = writer.get_extra_info("peercert")
    await closed(writer)
    return {value for kind, value in certificate["subjectAltName"] if kind == "DNS"}


async def test_ffmpeg_publishes_over_rtmps_and_checks_the_certificate(
    ffmpeg: str, clip: Callable[..., Path], authority: trustme.CA, tmp_path: Path
) -> None:
    """ffmpeg trusts only our authority; the frames arrive."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.cert_pem.bytes())
    rtmps = arcly.RtmpHandler("127.0.0.1:0", tls=issue(authority, tmp_path))
    async with serving(rtmps) as server:
        assert rtmps.address is not None
        url = f"rtmps://localhost:{rtmps.address[1]}/live/cam"
        source = ["-re", "-i", clip(seconds=2), "-c", "copy"]
        publishing = asyncio.create_task(
            run(ffmpeg, "-v", "error", *source, "-f", "flv", "-tls_verify", "1", "-ca_file", ca, url)
        )
        stream = await eventually(lambda: server.stream("live/cam"))
        frames = [frame async for frame in stream.subscribe()]
        published = await publishing
        assert published.returncode == 0, published.stderr
        assert sum(frame.kind == "video" for frame in frames) == 50


async def test_a_client_that_does_not_trust_us_is_told_in_one_line(
    ffmpeg: str, clip: Callable[..., Path], authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The certificate of another authority: the client refuses, we say why."""
    foreign = tmp_path / "ca.pem"
    foreign.write_bytes(trustme.CA().cert_pem.bytes())
    rtmps = arcly.RtmpHandler("127.0.0.1:0", tls=issue(authority, tmp_path))
    async with serving(rtmps):
        assert rtmps.address is not None
        url = f"rtmps://localhost:{rtmps.address[1]}/live/cam"
        source = ["-re", "-i", clip(seconds=2), "-c", "copy"]
        published = await run(ffmpeg, "-v", "error", *source, "-f", "flv", "-tls_verify", "1", "-ca_file", foreign, url)
        assert published.returncode != 0
        await eventually(lambda: any("no TLS with this peer" in record.getMessage() for record in caplog.records))


async def test_of_a_self_signed_certificate_it_is_said_that_it_is_one(authority: trustme.CA, tmp_path: Path) -> None:
    """It was `Other(OtherError(CaUsedAsEndEntity))`."""
    (tmp_path / "cert.pem").write_bytes(authority.cert_pem.bytes())
    (tmp_path / "key.pem").write_bytes(authority.private_key_pem.bytes())
    rtmps = arcly.RtmpHandler("127.0.0.1:0", tls=arcly.Tls(tmp_path / "cert.pem", tmp_path / "key.pem"))
    async with serving(rtmps) as server:
        assert rtmps.address is not None
        url = f"rtmps://localhost:{rtmps.address[1]}/live/cam"
        pull = arcly.PullSource(url, arcly.StreamKey("live", "copy"), retries_max=0)
        await pull.start(server.engine)
        await eventually(lambda: pull.last_error)
        await pull.stop()
    assert ": its certificate is self-signed" in pull.last_error


async def test_plain_rtmp_to_an_rtmps_port_is_refused_and_others_go_on(
    ffmpeg: str, clip: Callable[..., Path], authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A peer that speaks no TLS is told of, and the next one is served."""
    rtmps = arcly.RtmpHandler("127.0.0.1:0", tls=issue(authority, tmp_path))
    async with serving(rtmps):
        assert rtmps.address is not None
        port = rtmps.address[1]
        plain = await run(
            ffmpeg, "-v", "error", "-i", clip(seconds=2), "-c", "copy", "-f", "flv", f"rtmp://127.0.0.1:{port}/live/cam"
        )
        assert plain.returncode != 0
        await eventually(lambda: any("no TLS with this peer" in record.getMessage() for record in caplog.records))
        assert await subject_names(port, authority) == {"localhost"}


async def test_a_renewed_certificate_is_for_new_connections(authority: trustme.CA, tmp_path: Path) -> None:
    """The files change, the listener stays."""
    tls = issue(authority, tmp_path)
    rtmps = arcly.RtmpHandler("127.0.0.1:0", tls=tls)
    async with serving(rtmps):
        assert rtmps.address is not None
        port = rtmps.address[1]
        assert await subject_names(port, authority) == {"localhost"}
        assert not tls.reload_if_changed()
        (tmp_path / "key.pem").write_bytes(b"half written")
        with pytest.raises(arcly.MisuseError):
            tls.reload_if_changed()
        assert await subject_names(port, authority) == {"localhost"}, "the present one stays"
        issue(authority, tmp_path, "renewed.example")
        assert tls.reload_if_changed()
        assert await subject_names(port, authority) == {"renewed.example"}


def test_a_renewed_key_that_is_older_than_its_certificate_is_seen(authority: trustme.CA, tmp_path: Path) -> None:
    """Found by reading: `cp -p` keeps times. A look between the two copies was the last until the next renewal."""
    tls = issue(authority, tmp_path)
    renewed = authority.issue_cert("renewed.example")
    (tmp_path / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in renewed.cert_chain_pems))
    with pytest.raises(arcly.MisuseError):
        tls.reload_if_changed()
    assert not tls.reload_if_changed(), "it was told"
    (tmp_path / "key.pem").write_bytes(renewed.private_key_pem.bytes())
    os.utime(tmp_path / "key.pem", (0, 0))
    assert tls.reload_if_changed()
    assert not tls.reload_if_changed()


def test_a_renewed_key_that_cannot_be_read_yet_is_tried_again(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: copied as root, and then given to us. Its time says nothing of that."""
    tls = issue(authority, tmp_path)
    issue(authority, tmp_path, "renewed.example")
    with monkeypatch.context() as patch:
        # Root may read everything.
        patch.setattr(Path, "read_bytes", unreadable)
        for _ in range(2):
            with pytest.raises(PermissionError):
                tls.reload_if_changed()
    assert tls.reload_if_changed()


def unreadable(path: Path) -> bytes:
    """What reading another's key is."""
    raise PermissionError(path)


async def test_https_agrees_on_http_2(authority: trustme.CA, tmp_path: Path) -> None:
    """ALPN: HTTP/2 for who offers it, HTTP/1.1 for who does not."""
    http = arcly.HttpOrigin("127.0.0.1:0", tls=issue(authority, tmp_path))
    async with arcly.Engine(http):
        assert http.address is not None
        for offered, agreed in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")):
            context = ssl.create_default_context()
            authority.configure_trust(context)
            context.set_alpn_protocols(offered)
            reader, writer = await asyncio.open_connection("localhost", http.address[1], ssl=context)
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == agreed
            if agreed == "http/1.1":
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert (await reader.readline()).startswith(b"HTTP/1.1 404")
            await closed(writer)
