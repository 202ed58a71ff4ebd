"""An OpenID Connect issuer on loopback: its configuration, its keys, and tokens signed with them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

AUDIENCE = "rag"


@dataclass(kw_only=True)
class Issuer:
    url: str
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: bool = False
    says: dict[str, Any] = field(default_factory=dict)
    """What it answers otherwise, by path."""

    def publish(self, *names: str) -> None:
        self.keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in names}

    def jwks(self) -> dict[str, Any]:
        made = [
            {**jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}
            for name, key in self.keys.items()
        ]
        return {"keys": [{"kty": "of tomorrow"}, *made]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "exp": time.time() + 300, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, kid: str = "one", *, signed_by: Any = None, **changes: Any) -> str:
        key = signed_by or self.keys[kid]
        return jwt.encode(self.claims(**changes), key, algorithm="ES256", headers={"kid": kid})


@contextmanager
def issuer() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            answers = {
                "/.well-known/openid-configuration": {"issuer": made.url, "jwks_uri": f"{made.url}/jwks"},
                "/jwks": made.jwks(),
            }
            body = json.dumps((answers | made.says)[self.path]).encode()
            self.send_response(500 if made.broken else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Issuer(url=f"http://127.0.0.1:{server.server_port}")
    made.publish("one")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
