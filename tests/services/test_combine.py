import asyncio

import pytest
from virtual_time import in_virtual_time

import arcly
from arcly.services.auth import Action, AllOf, AnyOf, Authenticator, PermitAll

KEY = arcly.StreamKey("live", "cam")
NOBODY = arcly.Credentials()


class Says(Authenticator):
    def __init__(self, answer: bool | Exception | None) -> None:
        self.answer = answer
        self.asked: list[Action] = []

    async def authorize(self, action: Action, key: arcly.StreamKey, credentials: arcly.Credentials) -> bool:
        self.asked.append(action)
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return bool(self.answer)


async def test_permit_all_permits_all() -> None:
    assert await PermitAll().authorize_publish(KEY, NOBODY)
    assert await PermitAll().authorize_play(KEY, NOBODY)
    assert isinstance(PermitAll(), arcly.StreamAuthenticator)


@pytest.mark.parametrize(
    ("answers", "all_of", "any_of"),
    [
        ([True], True, True),
        ([False], False, False),
        ([True, False], False, True),
        ([False, True], False, True),
        ([True, True], True, True),
        ([False, False], False, False),
    ],
)
async def test_all_of_and_any_of(answers: list[bool], all_of: bool, any_of: bool) -> None:
    members = [Says(answer) for answer in answers]
    for ask in ("authorize_publish", "authorize_play"):
        assert await getattr(AllOf(*members), ask)(KEY, NOBODY) is all_of
        assert await getattr(AnyOf(*members), ask)(KEY, NOBODY) is any_of


async def test_they_nest_and_ask_for_the_same_action() -> None:
    inner = Says(True)
    assert await AnyOf(Says(False), AllOf(PermitAll(), inner)).authorize_play(KEY, NOBODY)
    assert inner.asked == [Action.PLAY]


async def test_nobody_is_asked_for_nothing() -> None:
    last = Says(True)
    assert not await AllOf(Says(False), last).authorize_publish(KEY, NOBODY)
    assert await AnyOf(Says(True), last).authorize_publish(KEY, NOBODY)
    assert last.asked == []


async def test_all_of_lets_a_failure_out_so_that_the_engine_refuses() -> None:
    with pytest.raises(ValueError, match="broken"):
        await AllOf(Says(True), Says(ValueError("broken"))).authorize_publish(KEY, NOBODY)


async def test_any_of_says_what_is_wrong_with_a_name_if_nobody_allows_it(caplog: pytest.LogCaptureFixture) -> None:
    """It was an error in the log, and a question for a password that could not help."""
    wrong = Says(arcly.MalformedError("no such name"))
    with pytest.raises(arcly.MalformedError, match="no such name"):
        await AnyOf(wrong, Says(False)).authorize_publish(KEY, NOBODY)
    assert await AnyOf(wrong, Says(True)).authorize_publish(KEY, NOBODY)
    assert not caplog.messages


@in_virtual_time
async def test_any_of_goes_on_after_one_that_fails_or_hangs() -> None:
    loop = asyncio.get_running_loop()
    assert await AnyOf(Says(None), Says(True), member_deadline_s=2).authorize_publish(KEY, NOBODY)
    assert loop.time() == pytest.approx(2)
    assert not await AnyOf(Says(None), Says(False)).authorize_publish(KEY, NOBODY)


async def test_any_of_logs_one_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    assert await AnyOf(Says(ValueError("broken")), Says(True)).authorize_publish(KEY, NOBODY)
    assert "Says could not decide on live/cam" in caplog.text
    caplog.clear()


@pytest.mark.parametrize("make", [AllOf, AnyOf, lambda: AnyOf(PermitAll(), member_deadline_s=0)])
def test_no_members_are_misuse(make: object) -> None:
    with pytest.raises(arcly.MisuseError):
        make()  # type: ignore[operator]
