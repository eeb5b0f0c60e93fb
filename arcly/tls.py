"""Who a listener is to its peers: certificate and key, replaced without a restart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from arcly._native import TlsIdentity
from arcly.errors import MisuseError

FileState = tuple[int, int, int, int]
"""Inode, when its bytes and when anything of it was changed, and size."""


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
        self._read = self._states()
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
            OSError: as `reload`; again, until both files can be read.
            MisuseError: as `reload`; not again before the files have changed again.
        """
        states = self._states()
        if states == self._read:
            return False
        read, self._read = self._read, states
        try:
            self.reload()
        except OSError:
            self._read = read
            raise
        return True

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Say which files are meant."""
        try:
            yield
        except MisuseError as error:
            raise MisuseError(f"{self._cert_file} and {self._key_file}: {error}") from None

    def _states(self) -> list[FileState]:
        """Return what differs when one of the files is another, was written, or may be read by others than before.

        The newest time would not do: who copies files may keep their times, of which that of the key is the older one.
        """
        stats = [path.stat() for path in (self._cert_file, self._key_file)]
        return [(stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size) for stat in stats]
