"""The options of `arcly serve` for who may publish and play. Imports nothing of what they are for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arcly.contract import StreamAuthenticator
    from arcly.services.auth import User

LINE = "NAME PASSWORD ACTIONS [STREAMS], such as: studio s3cret publish,read live/*"


def add_access(serve: argparse.ArgumentParser) -> None:
    """Add the options of access."""
    access = serve.add_argument_group(
        "who may publish and play",
        "everybody, without these; with several, whoever one of them lets in. What peers bring stands in the query "
        "(?user=NAME&pass=PASSWORD, ?token=TOKEN), in the Authorization of HTTP, RTSP, WHIP and WHEP, or in the stream "
        "id of SRT (publish:live/cam:NAME:PASSWORD)",
    )
    access.add_argument(
        "--auth-users",
        metavar="FILE",
        help="names and passwords, a line each: NAME PASSWORD publish,read [live/*]; keep the file to yourself",
    )
    access.add_argument(
        "--auth-url",
        metavar="URL",
        help="ask there: a POST of JSON (user, password, token, ip, action, path, protocol, query), allowed by a status"
        " of 200 to 209",
    )
    access.add_argument(
        "--auth-jwt",
        metavar="ALGORITHMS=KEYS",
        help="JSON Web Tokens with the claim mediamtx_permissions, as RS256,ES256=https://HOST/jwks.json or "
        "ES256=FILE with a public key in PEM; needs arcly[jwt]",
    )
    access.add_argument(
        "--open-play", action="store_true", help="everybody may play; only who publishes is asked for something"
    )


def authenticator_of(options: argparse.Namespace) -> StreamAuthenticator | None:
    """Return who decides; None where everybody may do everything.

    Raises:
        MisuseError: an option, or a line of a file that it names, is not of its form.
        OSError: a file cannot be read.
    """
    from arcly.errors import MisuseError
    from arcly.services.auth import AnyOf, HttpAuthenticator, Users

    gate_play = not options.open_play
    members: list[StreamAuthenticator] = []
    if options.auth_users:
        members.append(Users(read_users(Path(options.auth_users)), gate_play=gate_play))
    if options.auth_jwt:
        members.append(jwt_authenticator(options.auth_jwt, gate_play=gate_play))
    if options.auth_url:
        members.append(HttpAuthenticator(options.auth_url, gate_play=gate_play))
    if not members and options.open_play:
        raise MisuseError("--open-play is for a server that asks who publishes: it needs one of --auth-…")
    return AnyOf(*members) if len(members) > 1 else next(iter(members), None)


def gates_play(options: argparse.Namespace) -> bool:
    """Return whether not everybody may play."""
    return bool(options.auth_users or options.auth_jwt or options.auth_url) and not options.open_play


def read_users(path: Path) -> list[User]:
    """Return the users in a file.

    Raises:
        MisuseError: a line is not of the form NAME PASSWORD ACTIONS [STREAMS], or there is none.
        OSError: it cannot be read.
    """
    from arcly.errors import MisuseError

    lines = enumerate(path.read_text().splitlines(), 1)
    users = [user_of(line.split(), f"{path}:{number}") for number, line in lines if line.split("#", 1)[0].strip()]
    if not users:
        raise MisuseError(f"{path} names nobody: {LINE}")
    return users


def user_of(words: list[str], where: str) -> User:
    """Return the user that a line names.

    Raises:
        MisuseError: it is not of its form.
    """
    from arcly.errors import MisuseError
    from arcly.services.auth import Action, User

    if len(words) not in (3, 4):
        raise MisuseError(f"{where} is not of the form {LINE}")
    name, password, actions, *streams = words
    try:
        return User(name, password, frozenset(map(Action, actions.split(","))), *streams)
    except ValueError:
        raise MisuseError(f"{where}: {actions!r} is none of publish, read and publish,read") from None


def jwt_authenticator(text: str, *, gate_play: bool) -> StreamAuthenticator:
    """Return what `--auth-jwt` says.

    Raises:
        MisuseError: it is not of its form, or the package that reads tokens is not installed.
        OSError: the file of the key cannot be read.
    """
    from arcly.errors import MisuseError
    from arcly.services.auth import JwksUrl, JwtAuthenticator

    algorithms, equals, keys = text.partition("=")
    if not equals:
        raise MisuseError(f"{text!r} is not of the form ALGORITHMS=KEYS: RS256=https://HOST/jwks.json")
    source = JwksUrl(keys) if keys.startswith(("http://", "https://")) else Path(keys).read_bytes()
    try:
        return JwtAuthenticator(source, algorithms=algorithms.split(","), gate_play=gate_play)
    except ImportError as error:
        raise MisuseError(str(error)) from None
