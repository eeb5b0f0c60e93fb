import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from http_server import Answer, HttpServer, http_server

import arcly
from arcly.services.auth import AnyOf, JwksUrl, JwtAuthenticator
from arcly.services.auth import jwks as jwks_module
from arcly.services.auth.combine import Action
from arcly.services.auth.jwt import permits

KEY = arcly.StreamKey("live", "cam")
SECRET = "s" * 32
PUBLISH = [{"action": "publish", "path": "live/cam"}]
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"HS256": SECRET, "RS256": RSA, "PS256": RSA, "ES256": EC, "EdDSA": ED}


def pem(private: Any) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(private.public_key().public_bytes(encoding, form))


def public(algorithm: str) -> str | bytes:
    return SECRET if algorithm == "HS256" else pem(PRIVATE[algorithm])


def jwk(algorithm: str, kid: str | None = None, **fields: object) -> dict[str, Any]:
    key = PRIVATE[algorithm]
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key if isinstance(key, str) else key.public_key(), as_dict=True)
    return {**made, **({} if kid is None else {"kid": kid}), **fields}


def sign(
    permissions: object = PUBLISH,
    *,
    algorithm: str = "HS256",
    key: Any = None,
    kid: str | None = None,
    life_s: float = 60,
    **claims: object,
) -> str:
    payload = {"exp": int(time.time() + life_s), "mediamtx_permissions": permissions, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(payload, key or PRIVATE[algorithm], algorithm, headers=None if kid is None else {"kid": kid})


def hs256(**options: Any) -> JwtAuthenticator:
    return JwtAuthenticator(SECRET, algorithms=["HS256"], **options)


async def allowed(authenticator: JwtAuthenticator | AnyOf, token: str, *, param: str = "token") -> bool:
    return await authenticator.authorize_publish(KEY, arcly.Credentials(query=f"{param}={token}"))


@pytest.mark.parametrize("algorithm", PRIVATE)
async def test_each_kind_of_key_is_accepted_as_itself_and_in_a_set(algorithm: str) -> None:
    token = sign(algorithm=algorithm)
    one = JwtAuthenticator(public(algorithm), algorithms=[algorithm])
    several = JwtAuthenticator({"keys": [jwk(algorithm)]}, algorithms=[algorithm])
    assert await allowed(one, token)
    assert await allowed(several, token)
    assert isinstance(one, arcly.StreamAuthenticator)
    for at in (0, token.index(".") + 3, len(token) - 10):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert not await allowed(one, changed)
        assert not await allowed(several, changed)


@pytest.mark.parametrize("param", ["token", "pass", "jwt"])
async def test_the_token_comes_in_one_of_three_parameters(param: str) -> None:
    assert await allowed(hs256(), sign(), param=param)
    assert not await allowed(hs256(), sign(), param="other")


@pytest.mark.parametrize("token", ["", "x", "..", "a.b.c", "é", "x" * 9000, "eyJhbGciOiJIUzI1NiJ9..", "\x00.\x00.\x00"])
async def test_what_is_no_token_is_refused(token: str) -> None:
    assert not await allowed(hs256(), token)


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: object, payload: object) -> str:
    """A token signed with the secret, whatever is in it."""
    signed = f"{part(header)}.{part(payload)}"
    return f"{signed}.{part(hmac.digest(SECRET.encode(), signed.encode(), 'sha256'))}"


GOOD = {"exp": 2**32, "mediamtx_permissions": PUBLISH}


async def test_by_hand_makes_tokens() -> None:
    assert await allowed(hs256(), by_hand({"alg": "HS256"}, GOOD))


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ({"alg": "none"}, GOOD),
        ({"alg": "HS512"}, GOOD),
        ({"alg": ["HS256"]}, GOOD),
        ({"alg": None}, GOOD),
        ({}, GOOD),
        ([], GOOD),
        ({"alg": "HS256", "kid": {}}, GOOD),
        ({"alg": "HS256", "crit": ["x"], "x": 1}, GOOD),
        (b"[" * 4000, GOOD),
        (b"\xff", GOOD),
        ({"alg": "HS256"}, []),
        ({"alg": "HS256"}, b"[" * 5000),
        ({"alg": "HS256"}, b'{"exp": Infinity}'),
        ({"alg": "HS256"}, b'{"exp": 1' + b"0" * 4500 + b"}"),
        ({"alg": "HS256"}, {**GOOD, "exp": None}),
        ({"alg": "HS256"}, {**GOOD, "exp": "soon"}),
        ({"alg": "HS256"}, {**GOOD, "nbf": 2**32}),
        ({"alg": "HS256"}, {**GOOD, "iat": 2**32}),
        ({"alg": "HS256"}, {"mediamtx_permissions": PUBLISH}),
    ],
)
async def test_hostile_headers_and_payloads_are_refused(header: object, payload: object) -> None:
    assert not await allowed(hs256(), by_hand(header, payload))


async def test_an_unsigned_token_is_refused() -> None:
    unsigned = jwt.encode({"exp": 2**32, "mediamtx_permissions": PUBLISH}, None, "none")
    assert not await allowed(hs256(), unsigned)


async def test_a_public_key_is_no_secret() -> None:
    """The classic confusion: a token of HS256, made with the public key that everybody knows."""
    signed = f"{part({'alg': 'HS256'})}.{part(GOOD)}"
    forged = f"{signed}.{part(hmac.digest(pem(RSA), signed.encode(), hashlib.sha256))}"
    assert not await allowed(JwtAuthenticator(pem(RSA), algorithms=["RS256"]), forged)
    assert not await allowed(JwtAuthenticator({"keys": [jwk("RS256")]}, algorithms=["RS256"]), forged)
    with pytest.raises(arcly.MisuseError):
        JwtAuthenticator(pem(RSA), algorithms=["RS256", "HS256"])
    with pytest.raises(arcly.MisuseError):
        JwtAuthenticator(pem(RSA), algorithms=["HS256"])


@pytest.mark.parametrize(("life_s", "ok"), [(60, True), (-10, True), (-31, False), (-3600, False)])
async def test_a_token_expires_after_the_skew(life_s: float, ok: bool) -> None:
    assert await allowed(hs256(clock_skew_s=30), sign(life_s=life_s)) is ok
    assert await allowed(hs256(clock_skew_s=0), sign(life_s=life_s)) is (life_s > 0)


async def test_issuer_and_audience_count_when_they_are_asked_for() -> None:
    token = sign(iss="us", aud=["arcly", "other"])
    assert await allowed(hs256(), token)
    assert await allowed(hs256(issuer="us", audience="arcly"), token)
    assert not await allowed(hs256(issuer="them"), token)
    assert not await allowed(hs256(audience="them"), token)
    assert not await allowed(hs256(issuer="us"), sign())
    assert not await allowed(hs256(audience="arcly"), sign())


async def test_the_claim_can_be_called_otherwise_and_players_can_go_free() -> None:
    token = sign(None, rights=PUBLISH)
    assert await allowed(hs256(claim="rights"), token)
    assert not await allowed(hs256(), token)
    assert not await hs256().authorize_play(KEY, arcly.Credentials(query=f"token={sign()}"))
    assert await hs256(gate_play=False).authorize_play(KEY, arcly.Credentials())
    read = sign([{"action": "read", "path": "~^live/"}])
    assert await hs256().authorize_play(KEY, arcly.Credentials(query=f"token={read}"))


@pytest.mark.parametrize(
    ("permissions", "ok"),
    [
        ([{"action": "publish", "path": "live/cam"}], True),
        ([{"action": "publish", "path": ""}], True),
        ([{"action": "publish"}], True),
        ([{"action": "read"}, {"action": "publish", "path": "live/cam"}], True),
        ('[{"action": "publish"}]', True),
        ([{"action": "publish", "path": "~^live/c[a-z]+$"}], True),
        ([{"action": "publish", "path": "~cam"}], True),
        ([{"action": "publish", "path": "~^cam"}], False),
        ([{"action": "publish", "path": "~("}], False),
        ([{"action": "publish", "path": "~" + "a" * 2000}], False),
        ([{"action": "publish", "path": "~\ud800"}], False),
        ([{"action": "publish", "path": "~(" * 500}], False),
        ([{"action": "publish", "path": "live"}], False),
        ([{"action": "publish", "path": "live/cam2"}], False),
        ([{"action": "publish", "path": "LIVE/CAM"}], False),
        ([{"action": "publish", "path": None}], False),
        ([{"action": "publish", "path": ["live/cam"]}], False),
        ([{"action": "PUBLISH"}], False),
        ([{"action": ["publish"]}], False),
        ([{"action": "read"}], False),
        ([{"action": "api"}], False),
        ([{}], False),
        ([], False),
        (["publish"], False),
        ({"action": "publish"}, False),
        ("publish", False),
        ("[" * 100_000, False),
        (None, False),
        (True, False),
        ([{"action": "read"}] * 256 + [{"action": "publish"}], False),
    ],
)
def test_permissions(permissions: object, ok: bool) -> None:
    assert permits(permissions, Action.PUBLISH, "live/cam") is ok


def test_an_expression_takes_linear_time() -> None:
    """What keeps a backtracking matcher busy for years."""
    began_s = time.monotonic()
    assert not permits([{"action": "publish", "path": "~^(a*)*(a|aa)+$"}], Action.PUBLISH, "a" * 500 + "b")
    assert time.monotonic() - began_s < 10


async def test_keys_of_a_set_are_chosen_by_kid_algorithm_and_use() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    keys = [jwk("ES256", "new"), jwk("RS256", "rsa", alg="RS256"), {"kty": "x"}, 5, {"kty": "EC", "crv": "P-256"}]
    authenticator = JwtAuthenticator({"keys": keys}, algorithms=["ES256", "RS256", "PS256"])
    assert await allowed(authenticator, sign(algorithm="ES256", kid="new"))
    assert await allowed(authenticator, sign(algorithm="ES256"))
    assert not await allowed(authenticator, sign(algorithm="ES256", kid="old"))
    assert not await allowed(authenticator, sign(algorithm="ES256", key=other, kid="new"))
    assert await allowed(authenticator, sign(algorithm="RS256", kid="rsa"))
    assert not await allowed(authenticator, sign(algorithm="PS256", kid="rsa"))
    encryption_only = {"keys": [jwk("ES256", use="enc")]}
    with pytest.raises(arcly.MisuseError, match="no key"):
        JwtAuthenticator(encryption_only, algorithms=["ES256"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: JwtAuthenticator(SECRET, algorithms=[]),
        lambda: JwtAuthenticator(SECRET, algorithms="HS256"),
        lambda: JwtAuthenticator(SECRET, algorithms=["none"]),
        lambda: JwtAuthenticator(SECRET, algorithms=["HS256", "hs256"]),
        lambda: JwtAuthenticator("short", algorithms=["HS256"]),
        lambda: JwtAuthenticator("", algorithms=["HS256"]),
        lambda: JwtAuthenticator("no PEM", algorithms=["RS256"]),
        lambda: JwtAuthenticator(pem(EC), algorithms=["RS256"]),
        lambda: JwtAuthenticator(pem(EC), algorithms=["ES256", "ES384"]),
        lambda: JwtAuthenticator({}, algorithms=["HS256"]),
        lambda: JwtAuthenticator({"keys": []}, algorithms=["HS256"]),
        lambda: JwtAuthenticator({"keys": {}}, algorithms=["HS256"]),
        lambda: JwtAuthenticator(JwksUrl("ftp://x/"), algorithms=["HS256"]),
        lambda: JwtAuthenticator(SECRET, algorithms=["HS256"], clock_skew_s=-1),
        lambda: JwksUrl("https://x/", refresh_s=1),
        lambda: JwksUrl("https://x/", stale_s=60),
        lambda: JwksUrl("https://x/", deadline_s=0),
    ],
)
def test_misuse_is_said_when_it_is_made(make: Callable[[], object]) -> None:
    with pytest.raises(arcly.MisuseError):
        make()


async def test_small_rsa_keys_are_refused() -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(arcly.MisuseError, match="1024"):
        JwtAuthenticator(pem(small), algorithms=["RS256"])


class Clock:
    """Stands in for the module `time`."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(jwks_module, "time", clock)
    return clock


class Published:
    """A key set behind a URL, which can be replaced and can fail."""

    def __init__(self) -> None:
        self.document: object = {"keys": [jwk("ES256", "a")]}
        self.status = 200

    async def answer(self, head: bytes, body: bytes, writer: Any) -> None:
        data = self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()
        writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)


def remote(server: HttpServer, **options: float) -> JwtAuthenticator:
    return JwtAuthenticator(JwksUrl(server.url + "/jwks.json", **options), algorithms=["ES256"])


def es256(kid: str | None = "a", key: Any = EC) -> str:
    return sign(algorithm="ES256", kid=kid, key=key)


async def test_a_set_is_fetched_once_kept_and_refreshed(clock: Clock) -> None:
    published = Published()
    async with http_server(published.answer) as server:
        authenticator = remote(server, refresh_s=600)
        for _ in range(5):
            assert await allowed(authenticator, es256())
        assert len(server.requests) == 1
        assert server.requests[0][0].startswith(b"GET /jwks.json HTTP/1.1\r\n")
        clock.now_s += 600
        published.document = {"keys": [jwk("ES256", "b")]}
        assert not await allowed(authenticator, es256("a"))
        assert await allowed(authenticator, es256("b"))
        assert len(server.requests) == 2


async def test_a_new_kid_causes_one_fetch_and_invented_ones_no_flood(clock: Clock) -> None:
    published = Published()
    async with http_server(published.answer) as server:
        authenticator = remote(server)
        assert await allowed(authenticator, es256())
        other = ec.generate_private_key(ec.SECP256R1())
        added = json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(other.public_key()))
        published.document = {"keys": [jwk("ES256", "a"), {**added, "kid": "b"}]}
        clock.now_s += 11
        assert await allowed(authenticator, es256("b", other))
        assert len(server.requests) == 2
        for n in range(50):
            assert not await allowed(authenticator, es256(f"invented-{n}", other))
        assert len(server.requests) == 2
        assert not await allowed(authenticator, es256(None, ec.generate_private_key(ec.SECP256R1())))


async def test_the_last_set_is_used_while_the_url_fails_but_not_for_ever(clock: Clock) -> None:
    published = Published()
    async with http_server(published.answer) as server:
        authenticator = remote(server, refresh_s=600, stale_s=3600)
        assert await allowed(authenticator, es256())
        published.status = 503
        clock.now_s += 700
        assert await allowed(authenticator, es256())
        clock.now_s += 3000
        assert not await allowed(authenticator, es256())
        published.status = 200
        clock.now_s += 11
        assert await allowed(authenticator, es256())


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (404, {"keys": []}),
        (302, {"keys": [jwk("ES256")]}),
        (200, b""),
        (200, b"<html>"),
        (200, b"[" * 100_000),
        (200, {"keys": []}),
        (200, []),
        (200, {"keys": [{"kty": "oct", "k": "AAAA"}]}),
        (200, b'{"keys": [], "x": "' + b"x" * 300_000 + b'"}'),
    ],
)
async def test_what_is_no_set_refuses(clock: Clock, status: int, document: object) -> None:
    published = Published()
    published.status, published.document = status, document
    async with http_server(published.answer) as server:
        assert not await allowed(remote(server), es256())


async def test_a_set_that_is_too_long_is_called_so(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Cut off inside the spaces it would still be JSON."""
    published = Published()
    published.document = json.dumps({"keys": [jwk("ES256", "a")]}).encode() + b" " * 300_000
    async with http_server(published.answer) as server:
        assert not await allowed(remote(server), es256())
    assert "longer than 262144 bytes" in caplog.text


async def test_a_hanging_url_refuses_in_time_and_is_asked_by_one(clock: Clock) -> None:
    async def hang(head: bytes, body: bytes, writer: Any) -> None:
        await asyncio.Event().wait()

    answer: Answer = hang
    async with http_server(answer) as server:
        authenticator = remote(server, deadline_s=0.2)
        answers = await asyncio.wait_for(asyncio.gather(*(allowed(authenticator, es256()) for _ in range(20))), 5)
        assert answers == [False] * 20
        assert len(server.requests) == 1


async def test_a_slow_url_beside_a_short_deadline_is_slow_only_once(clock: Clock) -> None:
    """Whoever waited is gone when the set comes; it is there for the next."""
    published, asked, gate = Published(), asyncio.Event(), asyncio.Event()

    async def slow(head: bytes, body: bytes, writer: Any) -> None:
        asked.set()
        await gate.wait()
        await published.answer(head, body, writer)

    async with http_server(slow) as server:
        authenticator = remote(server)
        first = asyncio.create_task(allowed(authenticator, es256()))
        await asyncio.wait_for(asked.wait(), 5)
        first.cancel()
        gate.set()
        assert await allowed(authenticator, es256())
        assert len(server.requests) == 1


async def test_a_url_that_hangs_later_keeps_nobody_outside(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks_module, "PATIENCE_S", 0.05)
    published, hangs = Published(), False

    async def answer(head: bytes, body: bytes, writer: Any) -> None:
        if hangs:
            await asyncio.Event().wait()
        await published.answer(head, body, writer)

    async with http_server(answer) as server:
        authenticator = AnyOf(remote(server, refresh_s=600), member_deadline_s=1)
        assert await allowed(authenticator, es256())
        hangs = True
        clock.now_s += 600
        assert await allowed(authenticator, es256())
