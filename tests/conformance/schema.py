"""An MPD by the schema itself (ISO/IEC 23009-1 annex B), which is not ours to give away: `ARCLY_MPD_XSD` names its file
(github.com/MPEGGroup/DASHSchema), and lxml must be installed.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

XLINK = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/1999/xlink">
<xs:attribute name="href" type="xs:anyURI"/><xs:attribute name="type" type="xs:string"/>
<xs:attribute name="show" type="xs:string"/><xs:attribute name="actuate" type="xs:string"/></xs:schema>"""
"""What the schema takes of another one, which it names by a URL."""


@cache
def schema() -> Any:
    """Return the schema; None where there is none."""
    if "ARCLY_MPD_XSD" not in os.environ:
        return None
    from lxml import etree

    text = Path(os.environ["ARCLY_MPD_XSD"]).read_bytes()

    class Xlink(etree.Resolver):
        def resolve(self, url: str, *_: Any) -> Any:
            return self.resolve_string(XLINK, _[-1]) if "xlink" in url else None

    parser = etree.XMLParser()
    parser.resolvers.add(Xlink())
    text = re.sub(rb'schemaLocation="http[^"]*xlink.xsd"', b'schemaLocation="xlink.xsd"', text)
    return etree.XMLSchema(etree.fromstring(text, parser, base_url="schema.xsd"))


def faults(mpd: str) -> list[str]:
    """Return what the schema finds in an MPD; nothing where there is no schema."""
    if schema() is None:
        return []
    from lxml import etree

    schema().validate(etree.fromstring(mpd.encode()))
    return [str(error) for error in schema().error_log]
