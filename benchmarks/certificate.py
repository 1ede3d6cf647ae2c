"""A self-signed certificate for "localhost", for the peers of a comparison that encrypt.

It is valid for a day and made with the package cryptography, which is in the extra `bench`.
"""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


def write_certificate(directory: Path) -> None:
    """Write cert.pem and key.pem."""
    x509: Any = importlib.import_module("cryptography.x509")
    hazmat = "cryptography.hazmat.primitives"
    ec: Any = importlib.import_module(f"{hazmat}.asymmetric.ec")
    hashes: Any = importlib.import_module(f"{hazmat}.hashes")
    serialization: Any = importlib.import_module(f"{hazmat}.serialization")

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (directory / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
