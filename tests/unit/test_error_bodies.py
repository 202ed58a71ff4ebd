"""An error of the local AWS, read back by botocore's own parser of each protocol."""

import pytest
from botocore.parsers import create_parser

from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError
from ecs_gpu_deploy.sandbox.protocol.calls import Request
from ecs_gpu_deploy.sandbox.protocol.error_bodies import error_body

MESSAGE = 'User <a> & "b" may not: ' + "x" * 300


@pytest.mark.parametrize(
    ("protocol", "service", "parser"),
    [
        ("json", "ecs", "json"),
        ("query", "sts", "query"),
        ("query", "ec2", "ec2"),
        ("rest", "s3", "rest-xml"),
        ("rest", "scheduler", "rest-json"),
        ("cbor", "cloudwatch", "smithy-rpc-v2-cbor"),
    ],
)
@pytest.mark.parametrize(("status", "message"), [(400, "short"), (403, "m" * 100), (503, MESSAGE)])
def test_an_error_is_read_as_it_was_meant(protocol, service, parser, status, message):
    request = Request(
        service=service, operation="Call", protocol=protocol, region="", access_key_id="", parameters={}
    )
    written = error_body(request, ApiError("AccessDenied", message, status=status), "request-1")
    headers = {"content-type": written.content_type, **{k.lower(): v for k, v in written.headers}}
    answer = {"body": written.content, "headers": headers, "status_code": status}
    error = create_parser(parser).parse(answer, None)["Error"]
    assert (error["Code"], error["Message"]) == ("AccessDenied", message)
