import asyncio
import socket
import threading
import weakref

import pytest
from conftest import eventually

import arcly

KEY = arcly.StreamKey("live", "cam")


class Answer:
    """An authenticator that does what it was made to do."""

    def __init__(self, answer: bool | Exception | None) -> None:
        self.answer = answer
        self.asked: list[arcly.Credentials] = []

    async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        self.asked.append(credentials)
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return bool(self.answer)

    async def authorize_play(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        return True


async def test_an_authenticator_lets_in() -> None:
    answer = Answer(True)
    async with arcly.Engine(authenticator=answer) as engine:
        credentials = arcly.Credentials(peer="192.0.2.1:5", query="user=a&token=b%20c&token=d")
        session = await engine.open_publish(KEY, credentials, protocol="test")
        assert (engine.get_stream(KEY).protocol, engine.get_stream(KEY).peer) == ("test", "192.0.2.1:5")
        assert answer.asked[0].params == {"user": "a", "token": "d"}
        session.end()


async def test_an_authenticator_refuses() -> None:
    async with arcly.Engine(authenticator=Answer(False)) as engine:
        with pytest.raises(arcly.UnauthorizedError):
            await engine.open_publish(KEY, arcly.Credentials(), protocol="test")
        assert engine.list_streams() == []


@pytest.mark.parametrize("answer", [None, ValueError("broken")])
async def test_an_authenticator_that_hangs_or_fails_has_refused(
    answer: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with arcly.Engine(authenticator=Answer(answer), auth_deadline_s=0.05) as engine:
        with pytest.raises(arcly.UnauthorizedError):
            await engine.open_publish(KEY, arcly.Credentials(), protocol="test")
    assert "is refused" in caplog.text
    caplog.clear()


async def test_an_authenticator_that_does_not_heed_its_deadline_has_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Deaf(Answer):
        async def authorize_publish(self, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await late.wait()
            return True

    late = asyncio.Event()
    async with arcly.Engine(authenticator=Deaf(True), auth_deadline_s=0.05) as engine:
        with pytest.raises(arcly.UnauthorizedError):
            await asyncio.wait_for(engine.open_publish(KEY, arcly.Credentials(), protocol="test"), 60)
        late.set()
        await asyncio.sleep(0)
        assert engine.list_streams() == []
    assert "is refused" in caplog.text
    caplog.clear()


async def test_a_port_in_use_is_an_error_of_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(arcly.ListenError, match=address):
            async with arcly.Engine(arcly.RtmpHandler(address)):
                pass


async def test_a_stopped_engine_gives_its_ports_back_and_runs_no_second_time() -> None:
    rtmp = arcly.RtmpHandler("127.0.0.1:0")
    engine = arcly.Engine(rtmp)
    async with engine:
        host, port = rtmp.address
    assert rtmp.address is None
    async with arcly.Engine(arcly.RtmpHandler(f"{host}:{port}")):
        pass
    with pytest.raises(arcly.MisuseError):
        async with engine:
            pass
    with pytest.raises(arcly.ClosedError):
        await engine.start_publish(KEY)


async def test_the_publisher_limit_is_exact() -> None:
    async with arcly.Engine(max_publishers=2) as engine:
        sessions = [await engine.start_publish(arcly.StreamKey("live", str(n))) for n in range(2)]
        with pytest.raises(arcly.LimitExceededError):
            await engine.start_publish(KEY)
        sessions.pop().end()
        await engine.start_publish(KEY)


@pytest.mark.parametrize("address", ["1935", "host:", ":99999", "", "[::1]", ":x"])
async def test_bad_addresses_are_misuse(address: str) -> None:
    with pytest.raises(arcly.MisuseError, match="HOST:PORT"):
        async with arcly.Engine(arcly.RtmpHandler(address)):
            pass


def test_the_shipped_parts_keep_the_contracts() -> None:
    engine = arcly.Engine()
    for contract in (arcly.PublishRegistry, arcly.PlaybackRegistry, arcly.EventBus, arcly.IngestContext):
        assert isinstance(engine, contract)
    for handler in (arcly.RtmpHandler(), arcly.HttpOrigin(), arcly.FileSource("x", KEY)):
        assert isinstance(handler, arcly.InboundProtocol)
    assert isinstance(arcly.HlsPackager(), arcly.Packager)
    assert isinstance(Answer(True), arcly.StreamAuthenticator)


async def test_the_server_takes_no_stream_whose_page_could_not_be_reached() -> None:
    from arcly.server.serve import Names

    async with arcly.Engine(authenticator=Names()) as engine:
        for app in ("api", "static", "api/x"):
            # It was a refusal, and who had no password to give was asked for one.
            with pytest.raises(arcly.MalformedError, match="the page has api, recordings, static for itself"):
                await engine.open_publish(arcly.StreamKey(app, "cam"), arcly.Credentials(), protocol="test")
        session = await engine.open_publish(arcly.StreamKey("apix", "cam"), arcly.Credentials(), protocol="test")
        session.end()


async def test_events_that_nobody_closes_are_let_go_of() -> None:
    engine = arcly.Engine()
    session = await engine.start_publish(KEY)
    dropped = engine.events()
    signals = [weakref.ref(dropped._signal)]
    session.end()
    async for event in dropped:
        assert event.key == KEY
        break
    del dropped
    # The collector may find them on any thread.
    elsewhere = [engine.events()]
    signals.append(weakref.ref(elsewhere[0]._signal))
    thread = threading.Thread(target=elsewhere.clear)
    thread.start()
    thread.join()
    await eventually(lambda: [signal() for signal in signals] == [None, None])


def test_events_that_outlive_their_loop_are_let_go_of() -> None:
    engine = arcly.Engine()

    async def listen() -> arcly.engine.EventStream:
        return engine.events()

    events = asyncio.run(listen())
    signal = weakref.ref(events._signal)
    del events
    assert signal() is None


async def test_looking_for_lost_events_goes_on_after_a_registry_that_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Lossy:
        dropped = 1

    looks = []

    def catch_up() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise OSError("the database is away")

    monkeypatch.setattr("arcly.events.LOSSES_EVERY_S", 0)
    task = asyncio.create_task(arcly.events.after_losses(Lossy(), catch_up))
    await eventually(lambda: len(looks) == 2)
    for _ in range(10):  # many of its looks, at that pace
        await asyncio.sleep(0)
    assert len(looks) == 2, "found once, not looked for again"
    task.cancel()
    assert "could not be found" in caplog.text
    caplog.clear()


async def test_a_listener_that_outlives_the_native_threads_can_be_stopped() -> None:
    """Found by reading: it waited for ever, since nobody was left to tell it that it was done."""
    handler = arcly.RtmpHandler("127.0.0.1:0")
    async with arcly.Engine(handler) as engine:
        await asyncio.to_thread(engine.native.stop)
        async with asyncio.timeout(5):
            await handler.stop()
