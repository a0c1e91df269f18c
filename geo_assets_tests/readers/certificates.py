"""An authority of our own, and a certificate that it gives."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificates:
    """What a client has to trust, and what a server shows."""

    authority: Path
    server: ssl.SSLContext


def make_certificates(folder):
    """Certificates for 127.0.0.1 and data.example.com."""
    pytest.importorskip("cryptography", reason="makes the certificates")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("data.example.com"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]

    def give(subject, issuer, key, signer, *more):
        title = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
        made = (
            x509.CertificateBuilder().subject_name(title[0]).issuer_name(title[1]).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )  # fmt: skip
        for extension, critical in more:
            made = made.add_extension(extension, critical=critical)
        return made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ours, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = {"key_encipherment": False, "content_commitment": False, "data_encipherment": False, "key_agreement": False,
             "crl_sign": True, "encipher_only": False, "decipher_only": False}  # fmt: skip
    (folder / "authority.pem").write_bytes(
        give("authority", "authority", ours, ours, (x509.BasicConstraints(ca=True, path_length=0), True),
             (x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), True))
    )  # fmt: skip
    shown = give("server", "authority", theirs, ours, (x509.SubjectAlternativeName(names), False))
    secret = theirs.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(shown + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return Certificates(folder / "authority.pem", server)
