"""Sealing of secrets that must be recoverable: auth tokens sign webhooks."""

import base64
import hmac
import os
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12


class Vault:
    """Encrypts with AES-256-GCM under one key that lies outside the database."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        # A key of its own: what seals secrets signs nothing.
        self._signing_key = hmac.digest(key, b"trunkline signatures", "sha256")

    def seal(self, text: str) -> str:
        """Return *text* encrypted, as printable text."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), None)
        return base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str) -> str:
        """Return what was sealed; raises cryptography's InvalidTag under another key."""
        octets = base64.b64decode(sealed)
        return self._cipher.decrypt(octets[:NONCE_BYTES], octets[NONCE_BYTES:], None).decode()

    def sign(self, text: str) -> str:
        """Return a signature of *text* that only this key makes, in letters for a URL."""
        digest = hmac.digest(self._signing_key, text.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def load_key(path: Path) -> bytes:
    """Return the key in *path*; a file that is not there is made, readable by its owner only."""
    if not path.exists():
        partial = path.with_suffix(".part")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(AESGCM.generate_key(8 * KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    return path.read_bytes()


def read_key(given: str) -> bytes:
    """Return the key that a setting names: base64 of it, or the path of a file that holds it.

    Raises ValueError, or OSError for a file that cannot be read.
    """
    try:
        key = base64.b64decode(given.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        key = Path(given.strip()).expanduser().read_bytes()
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes")
    return key
