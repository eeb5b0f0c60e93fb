"""Who may publish and play, as the flags of `arcly serve` say."""

from __future__ import annotations

import argparse
from pathlib import Path

from arcly.contract import StreamAuthenticator
from arcly.errors import MisuseError
from arcly.server.naming import naming
from arcly.services.auth import Action, AnyOf, HttpAuthenticator, JwksUrl, JwtAuthenticator, User, Users

ASKED_S = 4.5
"""Seconds that all who are asked over a network may take together: the engine waits for 5."""

LINE = "NAME PASSWORD ACTIONS [STREAMS], such as: studio s3cret publish,read live/*"


def authenticator_of(options: argparse.Namespace) -> StreamAuthenticator | None:
    """Return who decides; None where everybody may do everything.

    Raises:
        MisuseError: an option, or a line of a file that it names, is not of its form.
        OSError: a file cannot be read.
    """
    gate_play = not options.open_play
    members: list[StreamAuthenticator] = []
    if options.auth_jwt:
        members.append(jwt_authenticator(options.auth_jwt, gate_play=gate_play))
    if options.auth_url:
        with naming("--auth-url"):
            members.append(HttpAuthenticator(options.auth_url, gate_play=gate_play))
    if options.auth_users:
        # Last: it lets a wrong password wait, which may be the right one of another member.
        with naming("--auth-users"):
            members.append(Users(read_users(Path(options.auth_users)), gate_play=gate_play))
    if not members and options.open_play:
        raise MisuseError("--open-play is for a server that asks who publishes: it needs one of --auth-…")
    if len(members) < 2:
        return next(iter(members), None)
    asked_far_away = [member for member in members if not isinstance(member, Users)]
    return AnyOf(*members, member_deadline_s=ASKED_S / len(asked_far_away))


def read_users(path: Path) -> list[User]:
    """Return the users in a file.

    Raises:
        MisuseError: a line is not of the form NAME PASSWORD ACTIONS [STREAMS], or there is none; it is not UTF-8.
        OSError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MisuseError(f"{path}: not UTF-8 at byte {error.start}") from None
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    users = [user_of(words, f"{path}:{number}") for number, words in lines if words and words[0][0] != "#"]
    if not users:
        raise MisuseError(f"{path} names nobody: {LINE}")
    return users


def user_of(words: list[str], where: str) -> User:
    """Return the user that a line names.

    Raises:
        MisuseError: it is not of its form.
    """
    if len(words) not in (3, 4):
        raise MisuseError(f"{where} is not of the form {LINE}")
    name, password, actions, *streams = words
    try:
        return User(name, password, frozenset(map(Action, actions.split(","))), *streams)
    except ValueError:
        raise MisuseError(f"{where}: {actions!r} is none of publish, read and publish,read") from None
    except MisuseError as error:
        raise MisuseError(f"{where}: {error}") from None


def jwt_authenticator(text: str, *, gate_play: bool) -> StreamAuthenticator:
    """Return what `--auth-jwt` says.

    Raises:
        MisuseError: it is not of its form, or the package that reads tokens is not installed.
        OSError: the file of the key cannot be read.
    """
    algorithms, equals, keys = text.partition("=")
    if not equals:
        # It is not repeated: it may be a key.
        raise MisuseError("--auth-jwt needs ALGORITHMS=KEYS: RS256=https://HOST/jwks.json")
    is_url = keys.startswith(("http://", "https://"))
    # A file that is there is no secret, as what stands in a URL may be.
    with naming("--auth-jwt"):
        source = JwksUrl(keys) if is_url else key_in(Path(keys))
    with naming("--auth-jwt" if is_url else f"--auth-jwt with {keys}"):
        try:
            return JwtAuthenticator(source, algorithms=algorithms.split(","), gate_play=gate_play)
        except ImportError as error:
            raise MisuseError(str(error)) from None


def key_in(path: Path) -> bytes:
    """Return the key in a file, without the line end that `echo` and editors put behind a secret that is text.

    Raises:
        OSError: it cannot be read.
    """
    key = path.read_bytes()
    # Of random bytes the last may be a line end, too.
    return key.removesuffix(b"\n").removesuffix(b"\r") if key.isascii() else key
