import asyncio

import pytest
from virtual_time import in_virtual_time


@in_virtual_time
async def test_an_hour_takes_no_time() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(3600)
    assert loop.time() == pytest.approx(3600)


def test_a_wait_for_nothing_is_found_out() -> None:
    @in_virtual_time
    async def hang() -> None:
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="never comes"):
        hang()
