"""An error as the protocol of the call writes it: JSON, the three XML forms, CBOR.

Written here, because moto's serializers do not do: importing them takes about a second, which a refusal would
pay before moto is needed at all, each error 0.2 ms instead of 7 µs, a 503 becomes a 400, and a code that is
not in the service's model is a Python warning (measured by `tests/bench/bench_errors.py`). CBOR moto has not,
and botocore's writes requests only. Forms: API Reference of each service, "Common Errors"; Smithy 2.0, "AWS
query protocol", "AWS EC2 query protocol", "AWS restXml protocol" and "Smithy RPC v2 CBOR protocol".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError
from ecs_gpu_deploy.sandbox.protocol.calls import Request

JSON_TYPE = "application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """The body of an error's answer with its content type and further headers."""

    content: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()


def error_body(request: Request, error: ApiError, request_id: str) -> ErrorBody:
    """Return *error* in the protocol of *request*."""
    said = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    match request.protocol, request.service:
        case "query", "ec2":
            errors = f"<Errors><Error>{said}</Error></Errors>"
            return _xml(f"<Response>{errors}<RequestID>{request_id}</RequestID></Response>")
        case "query", _:
            kind = "Sender" if error.status < 500 else "Receiver"
            errors = f"<Error><Type>{kind}</Type>{said}</Error>"
            return _xml(f"<ErrorResponse>{errors}<RequestId>{request_id}</RequestId></ErrorResponse>")
        case "rest", "s3":
            text = f"<Error>{said}<RequestId>{request_id}</RequestId></Error>"
            return ErrorBody(content=text.encode(), content_type="application/xml")
        case "cbor", _:
            return ErrorBody(
                content=_cbor_map({"__type": error.code, "message": error.message}),
                content_type="application/cbor",
                headers=(("smithy-protocol", "rpc-v2-cbor"),),
            )
    document = {"__type": error.code, "message": error.message, **error.members}
    return ErrorBody(
        content=json.dumps(document).encode(),
        content_type=JSON_TYPE,
        headers=(("x-amzn-ErrorType", error.code),),
    )


def _xml(text: str) -> ErrorBody:
    return ErrorBody(content=text.encode(), content_type="text/xml")


def _cbor_map(members: Mapping[str, str]) -> bytes:
    """Write a small map of texts in CBOR (RFC 8949)."""
    return bytes([0xA0 + len(members)]) + b"".join(
        _cbor_text(key) + _cbor_text(value) for key, value in members.items()
    )


def _cbor_text(value: str) -> bytes:
    content = value.encode()
    size = len(content)
    if size < 24:
        return bytes([0x60 + size]) + content
    if size < 256:
        return bytes([0x78, size]) + content
    return b"\x79" + size.to_bytes(2, "big") + content
