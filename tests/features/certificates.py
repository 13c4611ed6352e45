"""An authority of the tests' own, and what it signs. By the openssl command, as Python makes no certificates."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

OPENSSL = shutil.which("openssl")
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-sha256")


class Authority:
    """Keeps everything in one folder. `certificate` is what those must have who are to trust it."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self.certificate, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        _openssl(
            *("req", "-x509", *_NEW_KEY, "-nodes", "-subj", f"/CN={name}", "-days", "2"),
            *("-out", self.certificate, "-keyout", self._key),
        )

    def sign(self, name: str, alternative: str = "", *, password: str = "") -> tuple[Path, Path]:
        """A certificate and its key, which is encrypted where there is a `password`.

        `alternative` is what whoever shows it may be called, such as IP:127.0.0.1.
        """
        certificate, key, asked, more = (
            self._folder / f"{name}{ending}" for ending in (".pem", ".key", ".csr", ".ext")
        )
        more.write_text(f"subjectAltName={alternative}\n" if alternative else "")
        locked = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        _openssl("req", "-new", *_NEW_KEY, *locked, "-subj", f"/CN={name}", "-out", asked, "-keyout", key)
        _openssl(
            *("x509", "-req", "-in", asked, "-out", certificate, "-days", "2", "-extfile", more),
            *("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
        )
        return certificate, key


def _openssl(*words: str | Path) -> None:
    assert OPENSSL is not None
    subprocess.run([OPENSSL, *words], check=True, capture_output=True, timeout=60)
