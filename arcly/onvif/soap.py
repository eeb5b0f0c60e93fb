"""SOAP 1.2 as cameras speak it: a password by digest, and answers read by a parser that expands no entities."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ENVELOPE = """\
<?xml version="1.0" encoding="utf-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"""

SECURITY = """\
<o:Security s:mustUnderstand="1"
 xmlns:o="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
 xmlns:u="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"><o:UsernameToken>
<o:Username>{user}</o:Username>
<o:Password Type="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest">{digest}</o:Password>
<o:Nonce EncodingType="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary">{nonce}</o:Nonce>
<u:Created>{created}</u:Created></o:UsernameToken></o:Security>"""


class SoapError(Exception):
    """No answer that can be read, or one that says no."""


def envelope(body: str, user: str = "", password: str = "", clock: timedelta = timedelta()) -> bytes:
    """Return a request; `clock` is how much the camera's clock is ahead of ours, by which it judges how old it is."""
    header = "" if not user else security(user, password, datetime.now(UTC) + clock, secrets.token_bytes(16))
    return ENVELOPE.format(header=header, body=body).encode()


def security(user: str, password: str, now: datetime, nonce: bytes) -> str:
    """Return the header of WS-Security (UsernameToken profile 1.0 §3.1): the password does not travel."""
    created = now.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    # SHA-1 because the profile says so.
    digest = hashlib.sha1(nonce + created.encode() + password.encode(), usedforsecurity=False).digest()
    text = {"digest": base64.b64encode(digest).decode(), "nonce": base64.b64encode(nonce).decode()}
    return SECURITY.format(user=escape(user), created=created, **text)


class Tree:
    """An element and what is in it, by local names: every maker has prefixes of its own."""

    def __init__(self, element: Element) -> None:
        self._element = element

    def all(self, name: str) -> Iterator[Tree]:
        """Iterate over all elements of that name within."""
        return (Tree(element) for element in self._element.iter() if _local(element) == name)

    def first(self, name: str) -> Tree | None:
        """Return the first of them."""
        return next(self.all(name), None)

    def text(self, name: str) -> str:
        """Return the text of the first of them; empty when there is none."""
        found = self.first(name)
        return "" if found is None else (found._element.text or "").strip()

    def get(self, attribute: str) -> str:
        """Return an attribute; empty when it is not there."""
        return str(self._element.get(attribute, ""))


def parse(text: bytes) -> Tree:
    """Read an answer.

    Raises:
        SoapError: it is no XML, or has entities or a document type, as no answer has.
    """
    # Only when a camera is spoken to: it is not needed otherwise.
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException  # type: ignore[import-untyped, import-not-found, unused-ignore]
    from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped, import-not-found, unused-ignore]

    try:
        return Tree(fromstring(text, forbid_dtd=True))
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise SoapError(f"the camera's answer is no XML that is read: {error}") from None


def _local(element: Element) -> str:
    name = element.tag
    return name.rpartition("}")[2] if isinstance(name, str) else ""
