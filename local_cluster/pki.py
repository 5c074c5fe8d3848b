"""Certificates by role, signed by a CA of the cluster's own: real authentication, real RBAC."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from local_cluster.process import run

_DAYS = "3650"


@dataclass(frozen=True)
class Pki:
    """A CA and what it signed, in one folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The CA's certificate."""
        return self.folder / "ca.crt"

    def create_ca(self) -> None:
        """The CA, and the key pair that signs service-account tokens, unless they exist."""
        if self.ca.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key("ca")
        run(
            "openssl", "req", "-x509", "-new", "-key", self.folder / "ca.key", "-days", _DAYS,
            "-subj", "/CN=sihl-local-ca", "-out", self.ca,
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip
        run("openssl", "genrsa", "-out", self.folder / "sa.key", "2048")
        run(
            "openssl",
            "rsa",
            "-in",
            self.folder / "sa.key",
            "-pubout",
            "-out",
            self.folder / "sa.pub",
        )

    def issue(self, name: str, subject: str, hosts: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """Certificate and key for a subject such as `/O=system:masters/CN=admin`."""
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if certificate.exists():
            return certificate, key
        self._key(name)
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        names = ",".join(f"IP:{h}" if h[0].isdigit() else f"DNS:{h}" for h in hosts)
        extensions.write_text(
            "keyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n"
            + (f"subjectAltName={names}\n" if names else "")
        )
        run("openssl", "req", "-new", "-key", key, "-subj", subject, "-out", request)
        run(
            "openssl", "x509", "-req", "-in", request, "-CA", self.ca,
            "-CAkey", self.folder / "ca.key", "-CAcreateserial", "-days", _DAYS,
            "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return certificate, key

    def kubeconfig(self, name: str, subject: str, server: str) -> Path:
        """A kubeconfig (JSON is YAML too) for a subject."""
        certificate, key = self.issue(name, subject)
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [
                        {
                            "name": "sihl",
                            "cluster": {"server": server, "certificate-authority": str(self.ca)},
                        }
                    ],
                    "users": [
                        {
                            "name": name,
                            "user": {
                                "client-certificate": str(certificate),
                                "client-key": str(key),
                            },
                        }
                    ],
                    "contexts": [{"name": "sihl", "context": {"cluster": "sihl", "user": name}}],
                    "current-context": "sihl",
                },
                indent=1,
            )
        )
        return path

    def _key(self, name: str) -> None:
        run(
            "openssl",
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
            self.folder / f"{name}.key",
        )
