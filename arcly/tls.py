"""Who a listener is to its peers: certificate and key, replaced without a restart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from arcly._native import TlsIdentity
from arcly.errors import MisuseError


class Tls:
    """A certificate and its key for `RtmpHandler(tls=…)` and `HttpOrigin(tls=…)`. TLS 1.2 and 1.3, by rustls.

    One object may serve many listeners.

    Args:
        cert_file: PEM file with the certificate first and the chain behind it.
        key_file: PEM file with the private key (PKCS #8, PKCS #1 or SEC 1).

    Raises:
        OSError: a file cannot be read.
        MisuseError: a file is no PEM, or the key does not belong to the certificate.
    """

    def __init__(self, cert_file: str | Path, key_file: str | Path) -> None:
        self._cert_file = Path(cert_file)
        self._key_file = Path(key_file)
        self._changed_ns = self._newest_change_ns()
        with self._named():
            self.native = TlsIdentity(self._cert_file.read_bytes(), self._key_file.read_bytes())

    def reload(self) -> None:
        """Read both files again; connections that exist go on with the certificate that they began with.

        Raises:
            OSError, MisuseError: as the constructor; the present certificate stays.
        """
        with self._named():
            self.native.replace(self._cert_file.read_bytes(), self._key_file.read_bytes())

    def reload_if_changed(self) -> bool:
        """Do so if one of the files was written since it was last read; return whether.

        Raises:
            OSError, MisuseError: as `reload`; not again before the files have changed again.
        """
        changed_ns = self._newest_change_ns()
        if changed_ns == self._changed_ns:
            return False
        self._changed_ns = changed_ns
        self.reload()
        return True

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Say which files are meant."""
        try:
            yield
        except MisuseError as error:
            raise MisuseError(f"{self._cert_file} and {self._key_file}: {error}") from None

    def _newest_change_ns(self) -> int:
        return max(path.stat().st_mtime_ns for path in (self._cert_file, self._key_file))
