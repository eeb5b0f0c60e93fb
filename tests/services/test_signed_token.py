import time

import pytest

import arcly
from arcly.services.auth import Action, SignedToken

KEY = arcly.StreamKey("live", "cam")
SECRET = "0123456789abcdef0123456789abcdef"
EXPIRY = 1_767_225_600

VECTOR = "1767225600:383ee3ad17768050e17c6a280661d2e9a364790634cacdb8807a86505b0410f0"
"""Made by `printf live/cam:1767225600 | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef`."""


def token(**options: object) -> SignedToken:
    return SignedToken(SECRET, now=lambda: EXPIRY - 60, **options)  # type: ignore[arg-type]


async def allowed(authenticator: SignedToken, value: str, key: arcly.StreamKey = KEY) -> bool:
    return await authenticator.authorize_publish(key, arcly.Credentials(query=f"token={value}"))


async def test_the_vector_of_another_implementation_is_made_and_accepted() -> None:
    assert token().issue(KEY, EXPIRY) == VECTOR
    assert token().issue(KEY, EXPIRY + 0.9) == VECTOR
    assert await allowed(token(), VECTOR)
    assert await allowed(token(), VECTOR.upper())


@pytest.mark.parametrize("at", range(len(VECTOR)))
async def test_a_token_with_one_character_changed_is_refused(at: int) -> None:
    changed = VECTOR[:at] + ("1" if VECTOR[at] != "1" else "2") + VECTOR[at + 1 :]
    assert not await allowed(token(), changed)


async def test_a_token_is_for_one_stream() -> None:
    assert not await allowed(token(), VECTOR, arcly.StreamKey("live", "cam2"))
    assert not await allowed(token(), VECTOR, arcly.StreamKey("live/cam", "cam"))


@pytest.mark.parametrize(
    "value",
    [
        "",
        ":",
        "1767225600",
        "1767225600:",
        VECTOR[:-1],
        VECTOR + "0",
        "0" + VECTOR,
        "%2B" + VECTOR,
        "-1" + VECTOR[10:],
        "1_767_225_600" + VECTOR[10:],
        "9" * 5000 + VECTOR[10:],
        VECTOR + "%0A",
        "%20" + VECTOR,
        "١٧٦٧٢٢٥٦٠٠" + VECTOR[10:],
        VECTOR[:11] + "g" * 64,
        "%ff%fe",
    ],
)
async def test_what_is_no_token_is_refused(value: str) -> None:
    assert not await allowed(token(), value)


async def test_no_token_is_refused() -> None:
    assert not await token().authorize_publish(KEY, arcly.Credentials())


@pytest.mark.parametrize(("late_s", "ok"), [(-1, True), (0, True), (30, True), (30.5, False), (3600, False)])
async def test_a_token_is_accepted_until_its_expiry_and_the_skew(late_s: float, ok: bool) -> None:
    authenticator = SignedToken(SECRET, clock_skew_s=30, now=lambda: EXPIRY + late_s)
    assert await allowed(authenticator, VECTOR) is ok


async def test_secrets_rotate() -> None:
    old, new = "o" * 16, b"n" * 16
    before, during, after = SignedToken(old), SignedToken(new, old), SignedToken(new)
    expires_at = time.time() + 60
    old_token, new_token = before.issue(KEY, expires_at), during.issue(KEY, expires_at)
    assert await allowed(during, old_token)
    assert await allowed(during, new_token)
    assert await allowed(after, new_token)
    assert not await allowed(after, old_token)
    assert not await allowed(before, new_token)


async def test_playing_is_open_unless_it_is_gated_and_then_has_tokens_of_its_own() -> None:
    assert await token().authorize_play(KEY, arcly.Credentials())
    gated = token(play_secrets=["p" * 32])
    assert not await gated.authorize_play(KEY, arcly.Credentials())
    assert not await gated.authorize_play(KEY, arcly.Credentials(query=f"token={VECTOR}"))
    play = gated.issue(KEY, EXPIRY, action=Action.PLAY)
    assert await gated.authorize_play(KEY, arcly.Credentials(query=f"user=x&token={play}"))
    assert not await allowed(gated, play)
    with pytest.raises(arcly.MisuseError):
        token().issue(KEY, EXPIRY, action=Action.PLAY)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SignedToken(),
        lambda: SignedToken(""),
        lambda: SignedToken("short"),
        lambda: SignedToken(SECRET, "short"),
        lambda: SignedToken(*[SECRET] * 17),
        lambda: SignedToken(SECRET, play_secrets=[]),
        lambda: SignedToken(SECRET, play_secrets=SECRET),
        lambda: SignedToken(SECRET, clock_skew_s=-1),
        lambda: SignedToken(SECRET, clock_skew_s=float("nan")),
        lambda: token().issue(KEY, -1),
        lambda: token().issue(KEY, 10**12),
        lambda: token().issue(KEY, float("inf")),
    ],
)
def test_misuse_is_said(make: object) -> None:
    with pytest.raises(arcly.MisuseError):
        make()  # type: ignore[operator]


async def test_it_guards_an_engine_and_does_not_show_its_secret() -> None:
    authenticator = SignedToken(SECRET)
    assert SECRET not in repr(authenticator)
    good = authenticator.issue(KEY, time.time() + 60)
    async with arcly.Engine(authenticator=authenticator) as engine:
        with pytest.raises(arcly.UnauthorizedError):
            await engine.open_publish(KEY, arcly.Credentials(query="token=1:2"), protocol="test")
        session = await engine.open_publish(KEY, arcly.Credentials(query=f"token={good}"), protocol="test")
        session.end()
