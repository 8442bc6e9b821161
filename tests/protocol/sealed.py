"""Secrets at rest as somebody else would write them: python3-cryptography, not our code (04 section 15.1)."""

import hashlib
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ROUNDS = {1: 100000, 2: 100000, 3: 600000}


def key_of(version, passphrase, salt):
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt if version > 1 else b"certctl-config-encryption-v1", ROUNDS[version])


def seal(version, passphrase, plain, salt=None, nonce=None):
    salt = salt or os.urandom(16)
    nonce = nonce or os.urandom(12)
    head = bytes([version]) + salt if version > 1 else b""
    return head + nonce + AESGCM(key_of(version, passphrase, salt)).encrypt(nonce, plain, None)


def unseal(passphrase, blob):
    """A v3 blob; raises InvalidTag."""
    assert blob[0] == 3 and len(blob) >= 45, blob[:1]
    return AESGCM(key_of(3, passphrase, blob[1:17])).decrypt(blob[17:29], blob[29:], None)


def passphrase(stack):
    with open(os.path.join(stack.dir, "seal", "config-encryption-key"), encoding="utf-8") as source:
        return source.read().rstrip("\n")


def lines(stack):
    """What the processes that open secrets have in their environment besides certctl.env."""
    with open(os.path.join(stack.dir, "seal", "seal.env"), encoding="utf-8") as source:
        return dict(line.rstrip("\n").split("=", 1) for line in source if "=" in line)
