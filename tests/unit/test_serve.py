"""How an engine ends: signals, draining, protocols that hang."""

import asyncio
import signal
import subprocess
import sys
import threading

import pytest
from conftest import eventually

import arcly

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
    before = signal.getsignal(signal.SIGTERM)
    until = asyncio.Event()
    until.set()
    await arcly.Engine().serve(until)
    assert signal.getsignal(signal.SIGTERM) is before


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
