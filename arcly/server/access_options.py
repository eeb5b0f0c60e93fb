"""The options of `arcly serve` for who may publish and play. Imports nothing of what they are for."""

from __future__ import annotations

import argparse


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
