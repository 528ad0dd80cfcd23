"""Signatures of run folders by a key of SSH."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from assay.core.errors import StoreError, shorten
from assay.core.files import file_state, is_file
from assay.store.files import write_text
from assay.store.manifest import (
    MANIFEST,
    NOT_SIGNED,
    SIGNATURE,
    SIGNED,
    added_files,
    key_of_signature,
    read_manifest,
    run_keygen,
    write_manifest,
)

_KEYGEN_ERRORS = {
    "passphrase": "{key} has a passphrase, which was not given: sign in a terminal, or add it to an agent (ssh-add)",
    "too open": "others can read {key}, and ssh-keygen does not use it: chmod 600 {key}",
    "No private key found": "{key} is a public key, and no agent holds its private key: give the private key",
    "Couldn't load public key": "{key} holds no private key of SSH that can be read: `ssh-keygen -t ed25519` makes one",
}
"""Part of what ssh-keygen says -> why it did not sign."""


def sign(root: Path, key: Path) -> None:
    """Sign the files of a folder that its manifest lists.

    Args:
        root: The folder.
        key: A private key of SSH, or a public one whose private key an agent holds.

    Raises:
        StoreError: There is no manifest, or ssh-keygen is missing or refuses the key.
    """
    manifest = read_manifest(root)
    if manifest is None:
        raise StoreError(f"{root} has no {MANIFEST}: only a run that ended can be signed")
    if not is_file(key):
        raise StoreError(f"there is no key {key}: `ssh-keygen -t ed25519` makes one")
    if unprintable := next((name for name in manifest if not name.isprintable()), None):
        raise StoreError(f"{root} lists '{shorten(unprintable)}', a name that no Assay writes: it is not signed")
    text = "".join(f"{digest}  {name}\n" for name, (_, digest) in sorted(manifest.items()) if name not in NOT_SIGNED)
    signature, added = _signature(text, key), added_files(root)
    write_text(root / SIGNED, text)
    write_text(root / SIGNATURE, signature)
    digests = {name: digest for name, (_, digest) in manifest.items() if name not in (SIGNED, SIGNATURE)}
    write_manifest(root, digests, added={name: state for name, state in added.items() if name not in NOT_SIGNED})


def _signature(text: str, key: Path) -> str:
    """Return the signature of a text, which ssh-keygen has read again. Raises StoreError."""
    try:
        completed = run_keygen(text, "sign", "-f", str(key))
        if completed.returncode:
            reason = next(
                (reason for part, reason in _KEYGEN_ERRORS.items() if part in completed.stderr),
                "ssh-keygen cannot sign with {key}",
            )
            raise StoreError(reason.format(key=key))
        with TemporaryDirectory() as folder:
            (file := Path(folder) / SIGNATURE).write_text(completed.stdout, encoding="utf-8")
            if not key_of_signature(text, file, file_state(file)):
                raise StoreError(f"the signature that ssh-keygen made with {key} is not of these files: try again")
    except FileNotFoundError as error:
        raise StoreError("there is no ssh-keygen; signatures need it, of OpenSSH 8.2 or later") from error
    return completed.stdout
