"""How an engine ends: signals, draining, protocols that hang."""

import asyncio
import signal
import socket
import subprocess
import sys
import threading

import pytest
from conftest import eventually

import arcly
from arcly._signals import heard

KEY = arcly.StreamKey("live", "cam")

SERVER = """
import asyncio, sys
import arcly

async def main():
    engine = arcly.Engine()

    async def publish():
        while not engine.running:
            await asyncio.sleep(0.001)
        session = await engine.start_publish(arcly.StreamKey("live", "cam"))
        print("publishing", flush=True)
        await asyncio.sleep(3600)
        session.end()

    async def watch():
        while not engine.draining:
            await asyncio.sleep(0.001)
        if float(sys.argv[1]):
            print("draining", flush=True)

    tasks = [asyncio.create_task(publish()), asyncio.create_task(watch())]
    await engine.serve(drain_s=float(sys.argv[1]))
    print("stopped", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize(("drain_s", "signals"), [(0, 1), (3600, 2)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_and_a_second_one_ends_its_draining(
    number: signal.Signals, drain_s: float, signals: int
) -> None:
    command = [sys.executable, "-c", SERVER, str(drain_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            assert server.stdout.readline() == "publishing\n"
            server.send_signal(number)
            if signals == 2:
                assert server.stdout.readline() == "draining\n"
                server.send_signal(number)
            out, err = server.communicate(timeout=30)
        finally:
            server.kill()
    assert (server.returncode, out, err) == (0, "stopped\n", "")


async def test_serve_ends_by_an_event_and_runs_in_any_thread() -> None:
    engine, done = arcly.Engine(), threading.Event()

    def run() -> None:
        async def main() -> None:
            until = asyncio.Event()
            serving = asyncio.create_task(engine.serve(until))
            await eventually(lambda: engine.running)
            until.set()
            await serving

        asyncio.run(main())
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    await eventually(done.is_set)
    thread.join()
    assert not engine.running


async def test_handlers_of_signals_are_put_back() -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in signal.valid_signals()]

    before = handlers()
    until = asyncio.Event()
    until.set()
    await arcly.Engine().serve(until)
    assert handlers() == before


async def test_who_puts_our_handler_back_after_its_end_loses_no_signal() -> None:
    """As uvicorn does, which takes signals for as long as it serves."""
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with heard([signal.SIGTERM]):
            ours = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.signal(signal.SIGTERM, ours)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM] * 2


SERVERS = """
import asyncio, os, signal, sys
import uvloop
import arcly

async def main():
    theirs = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, theirs.set)
    engines, until = [arcly.Engine() for _ in range(3)], asyncio.Event()
    # One ends by itself, and takes nothing from the others.
    serving = [asyncio.create_task(engine.serve(end)) for engine, end in zip(engines, [None, until, None])]
    while not all(engine.running for engine in engines):
        await asyncio.sleep(0.001)
    until.set()
    await serving[1]
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.gather(*serving)
    await theirs.wait()
    theirs.clear()
    os.kill(os.getpid(), signal.SIGTERM)
    await theirs.wait()
    print("stopped", flush=True)

with asyncio.Runner(loop_factory=eval(sys.argv[1])) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio.new_event_loop", "uvloop.new_event_loop"])
def test_a_signal_ends_all_engines_of_a_process_and_the_host_has_its_handler_again(loop: str) -> None:
    """Found by reading: the second `serve` took the signal from the first, and left a handler that does nothing."""
    done = subprocess.run([sys.executable, "-c", SERVERS, loop], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")


IDLE = """
import asyncio, signal, sys, threading
import uvloop
import arcly

async def main():
    engine = arcly.Engine()
    serving = asyncio.create_task(engine.serve())
    while not engine.running:
        await asyncio.sleep(0.001)
    # Another thread hears it, as a native one may.
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    print("running", flush=True)
    await serving
    print("stopped", flush=True)

with asyncio.Runner(loop_factory=eval(sys.argv[1])) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio.new_event_loop", "uvloop.new_event_loop"])
def test_a_signal_wakes_a_loop_that_sleeps(loop: str) -> None:
    """Found by a reader: without a wakeup fd, what another thread heard, or came just before the loop slept, waited for
    its next event.
    """
    command = [sys.executable, "-c", IDLE, loop]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            assert server.stdout.readline() == "running\n"
            server.send_signal(signal.SIGTERM)
            out, err = server.communicate(timeout=30)
        finally:
            server.kill()
    assert (server.returncode, out, err) == (0, "stopped\n", "")


class Handlerless(asyncio.SelectorEventLoop):
    """A loop as those of some hosts are (Qt's)."""

    add_signal_handler = asyncio.AbstractEventLoop.add_signal_handler
    remove_signal_handler = asyncio.AbstractEventLoop.remove_signal_handler


async def serve_for_a_moment() -> None:
    until = asyncio.Event()
    until.set()
    await arcly.Engine().serve(until)


def test_a_loop_without_handlers_of_signals_serves() -> None:
    """Found by reading: it raised NotImplementedError, and the handlers of SIGINT and SIGTERM stayed for good."""
    before = signal.getsignal(signal.SIGTERM)
    with asyncio.Runner(loop_factory=Handlerless) as runner:
        runner.run(serve_for_a_moment())
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_host_keeps_its_own_wakeup_fd() -> None:
    """Found by reading: the loop of asyncio took its place, and none was there at the end."""
    ours, theirs = socket.socketpair()
    with ours, theirs, asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        ours.setblocking(False)
        before = signal.set_wakeup_fd(ours.fileno())
        try:
            runner.run(serve_for_a_moment())
        finally:
            after = signal.set_wakeup_fd(before)
        assert after == ours.fileno()


async def test_draining_refuses_new_publishers_and_waits_for_those_there_are() -> None:
    async with arcly.Engine() as engine:
        session = await engine.start_publish(KEY)
        assert not await engine.drain(0.01)
        assert session.active
        draining = asyncio.create_task(engine.drain(3600))
        await asyncio.sleep(0)
        with pytest.raises(arcly.ClosedError):
            await engine.start_publish(arcly.StreamKey("live", "other"))
        session.end()
        assert await asyncio.wait_for(draining, 10)


async def test_a_protocol_that_hangs_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    class Hanging:
        name = "hanging"
        stopped = False

        async def start(self, context: arcly.IngestContext) -> None:
            pass

        async def stop(self) -> None:
            await asyncio.Event().wait()

    class Orderly(Hanging):
        name = "orderly"

        async def stop(self) -> None:
            self.stopped = True

    orderly = Orderly()
    async with arcly.Engine(orderly, Hanging(), stop_deadline_s=0.01):
        pass
    assert orderly.stopped
    assert "hanging did not stop" in caplog.text
    caplog.clear()


async def test_a_protocol_that_cannot_be_drained_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    drained: list[str] = []

    class Plain:
        def __init__(self, name: str) -> None:
            self.name = name

        async def start(self, context: arcly.IngestContext) -> None:
            pass

        async def stop(self) -> None:
            pass

    class Willing(Plain):
        async def drain(self) -> None:
            drained.append(self.name)

    class Broken(Willing):
        async def drain(self) -> None:
            raise OSError("nobody is there")

    class Hanging(Willing):
        async def drain(self) -> None:
            await asyncio.Event().wait()

    protocols = [Plain("plain"), Broken("broken"), Hanging("hanging"), Willing("willing")]
    async with arcly.Engine(*protocols, stop_deadline_s=0.01) as engine:
        session = await engine.start_publish(KEY)
        draining = asyncio.create_task(engine.drain(3600))
        await eventually(lambda: drained == ["willing"])
        session.end()
        assert await asyncio.wait_for(draining, 10)
    assert caplog.text.count("broken could not be drained") == caplog.text.count("hanging could not be drained") == 1
    caplog.clear()


@pytest.mark.parametrize("end", ["cancelled twice", "cancelled by the end of the program"])
def test_who_is_cancelled_while_an_engine_stops_leaves_nothing_running(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Found by reading: the second cancellation left every protocol that had started before the present one, the native
    threads and the ports.
    """
    stopped, stopping, answered = [], asyncio.Event(), asyncio.Event()

    class Listening:
        def __init__(self, name: str, *, slow: bool = False) -> None:
            self.name, self.slow = name, slow

        async def start(self, context: arcly.IngestContext) -> None:
            pass

        async def stop(self) -> None:
            stopping.set()
            if self.slow:
                await answered.wait()
            stopped.append(self.name)

    engine = arcly.Engine(Listening("first"), Listening("second"), Listening("slow", slow=True))

    async def serve() -> None:
        async with engine:
            await asyncio.Event().wait()

    async def main() -> None:
        serving = asyncio.create_task(serve())
        await eventually(lambda: engine.running)
        serving.cancel()
        await stopping.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        if end == "cancelled twice":
            assert stopped == []
            answered.set()
            # Whoever stops it once more waits for the same end.
            await asyncio.gather(engine.stop(), engine.stop())
            assert stopped == ["slow", "second", "first"]

    asyncio.run(main())
    assert stopped[-2:] == ["second", "first"]
    caplog.clear()
