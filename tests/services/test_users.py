"""Names and passwords."""

from __future__ import annotations

import time

import pytest

import arcly
from arcly.contract import Credentials
from arcly.services.auth import Action, User, Users

CAM = arcly.StreamKey("live", "cam")
OTHER = arcly.StreamKey("news", "cam")
STUDIO = User("studio", "s3cret", {Action.PUBLISH}, "live/*")
GUEST = User("guest", "wélcome", {Action.PLAY})


def asked(name: str, password: str) -> Credentials:
    return Credentials(query=f"user={name}&pass={password}")


async def test_a_user_may_do_what_is_said_and_nothing_else() -> None:
    users = Users([STUDIO, GUEST], failure_pause_s=0)
    assert await users.authorize_publish(CAM, asked("studio", "s3cret"))
    assert not await users.authorize_publish(OTHER, asked("studio", "s3cret"))
    assert not await users.authorize_play(CAM, asked("studio", "s3cret"))
    assert await users.authorize_play(OTHER, asked("guest", "w%C3%A9lcome"))
    assert not await users.authorize_publish(CAM, asked("guest", "w%C3%A9lcome"))


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(),
        asked("", ""),
        asked("studio", ""),
        asked("studio", "s3cre"),
        asked("studio", "s3cret2"),
        asked("guest", "s3cret"),
        asked("nobody", "s3cret"),
        asked("studio", "%ff"),
        Credentials(query="token=s3cret"),
    ],
)
async def test_everybody_else_is_refused(credentials: Credentials) -> None:
    assert not await Users([STUDIO, GUEST], failure_pause_s=0).authorize_publish(CAM, credentials)


async def test_a_name_may_stand_there_for_several_streams() -> None:
    users = Users([STUDIO, User("studio", "s3cret", {Action.PUBLISH}, "news/*")])
    assert await users.authorize_publish(CAM, asked("studio", "s3cret"))
    assert await users.authorize_publish(OTHER, asked("studio", "s3cret"))


async def test_a_wrong_password_waits_and_a_right_one_does_not() -> None:
    users = Users([STUDIO], failure_pause_s=0.2)
    began = time.monotonic()
    assert not await users.authorize_publish(CAM, asked("studio", "guess"))
    assert time.monotonic() - began >= 0.19


async def test_play_may_be_open() -> None:
    users = Users([STUDIO], gate_play=False)
    assert await users.authorize_play(CAM, Credentials())
    assert not await users.authorize_publish(CAM, Credentials())


@pytest.mark.parametrize("users", [[], [User("", "x")], [User("x", "")], [STUDIO] * 1001])
def test_users_that_are_none_are_named(users: list[User]) -> None:
    with pytest.raises(arcly.MisuseError):
        Users(users)


def test_a_password_is_not_shown() -> None:
    assert "s3cret" not in repr(STUDIO)
