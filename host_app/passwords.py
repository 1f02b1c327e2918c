"""Passwords as argon2id hashes. Hashing takes its time on purpose, so it runs in worker threads."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 1024
"""Longer ones are refused before they are hashed."""

_hasher: Final = PasswordHasher()
_threads: Final = ThreadPoolExecutor(2, thread_name_prefix="password")
"""Each hash takes 64 MiB; a flood of sign-ins must not take all memory."""


def check_new_password(password: str) -> str:
    """Return a password that may be set.

    Raises:
        ValueError: too short, too long, or no text that UTF-8 can carry.
    """
    if not _is_text(password):
        raise ValueError("password has characters that UTF-8 cannot carry, expected text")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ValueError(
            f"password has {len(password)} characters, expected {MIN_LENGTH} to {MAX_LENGTH}"
        )
    return password


async def hash_password(password: str) -> str:
    """Return the hash to store."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def verify_password(password: str, password_hash: str | None) -> bool:
    """Compare; an unknown user (no hash) costs the same time as a wrong password."""
    if len(password) > MAX_LENGTH or not _is_text(password):
        return False
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, _verify, password, password_hash)


def _verify(password: str, password_hash: str | None) -> bool:
    if password_hash is None:
        _hasher.hash(password)
        return False
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def _is_text(password: str) -> bool:
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True
