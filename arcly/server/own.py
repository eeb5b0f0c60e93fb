"""Requests that change something: only the page itself, and programs, may make them."""

from __future__ import annotations

from starlette.requests import Request

CROSS_SITE = frozenset({"cross-site", "same-site"})
"""What browsers say in Sec-Fetch-Site of a request that a page of another origin has made."""


def is_own(request: Request, header: str) -> bool:
    """Return whether a request has `header` and was not made by another site.

    A form of another site cannot send such a header, and a script of another site only after it has asked (Fetch §3.2,
    CORS preflight), which is answered with 405: nobody is led into changing something by a link.
    """
    return header in request.headers and request.headers.get("sec-fetch-site", "none") not in CROSS_SITE
