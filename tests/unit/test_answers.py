"""What AWS and botocore say, in our words: one tree, one translation."""

from __future__ import annotations

import botocore.exceptions
import botocore.parsers
import pytest

from ecs_gpu_deploy.edges.aws import answers
from ecs_gpu_deploy.edges.aws.answers import AwsError, OddAnswer, needed_to, reading, translated
from ecs_gpu_deploy.errors import Refused

REQUEST = "ecs.DescribeServices"
URL = {"endpoint_url": "https://ecs.eu-central-1.amazonaws.com/"}


def client_error(code: str, text: str = "no", status: int = 400) -> botocore.exceptions.ClientError:
    answer = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(answer, "DescribeServices")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(client_error("AccessDeniedException"), answers.Denied, id="a permission is missing"),
        pytest.param(client_error("UnknownOperationException"), answers.Unsupported, id="an older AWS"),
        pytest.param(client_error("501", status=501), answers.Unsupported, id="a partial AWS"),
        pytest.param(client_error("ClusterNotFoundException"), answers.Missing, id="no such cluster"),
        pytest.param(client_error("NoSuchEntity"), answers.Missing, id="no such role"),
        pytest.param(client_error("ThrottlingException"), answers.Throttled, id="throttled"),
        pytest.param(
            client_error(
                "InvalidParameterException",
                "Error retrieving subnet information for [subnet-1]: Request limit exceeded.",
            ),
            answers.Throttled,
            id="throttled under another code",
        ),
        pytest.param(client_error("ServerException", status=500), answers.Passing, id="a 500"),
        pytest.param(client_error("503", status=503), answers.Passing, id="a 503 without a code"),
        pytest.param(client_error("InvalidParameterException"), answers.Rejected, id="a wrong parameter"),
        pytest.param(
            client_error("IDPCommunicationError", "Error communicating with the identity provider."),
            answers.Passing,
            id="STS does not reach GitHub",
        ),
        pytest.param(
            client_error(
                "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"
            ),
            answers.Passing,
            id="STS has no key of GitHub's",
        ),
        pytest.param(
            client_error("InvalidIdentityToken", "Incorrect token audience"),
            answers.Rejected,
            id="a bad token",
        ),
        pytest.param(client_error("407", status=407), answers.NoProxy, id="a proxy that wants a password"),
        pytest.param(
            botocore.exceptions.EndpointConnectionError(**URL, error="x"), answers.NeverSent, id="no route"
        ),
        pytest.param(
            botocore.exceptions.ConnectTimeoutError(**URL, error="x"), answers.NeverSent, id="no connection"
        ),
        pytest.param(
            botocore.exceptions.ReadTimeoutError(**URL, error="x"),
            answers.Unreachable,
            id="no answer in time",
        ),
        pytest.param(
            botocore.exceptions.ConnectionClosedError(**URL), answers.Unreachable, id="a cut connection"
        ),
        pytest.param(
            botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
            answers.Unreachable,
            id="a cut answer",
        ),
        pytest.param(
            botocore.exceptions.ProxyConnectionError(proxy_url="http://p", error="x"),
            answers.NoProxy,
            id="a proxy that refuses",
        ),
        pytest.param(botocore.parsers.ResponseParserError("no JSON"), OddAnswer, id="an answer in HTML"),
        pytest.param(AttributeError("'str' object has no attribute 'get'"), OddAnswer, id="another type"),
        pytest.param(
            botocore.exceptions.UnknownEndpointError(service_name="ecs", region_name="mars-1"),
            answers.Rejected,
            id="anything else",
        ),
    ],
)
def test_an_error_has_one_kind(error: Exception, kind: type[AwsError]) -> None:
    ours = translated(error, REQUEST)
    assert type(ours) is kind
    assert ours.request == REQUEST


def test_an_error_keeps_the_code_and_the_text_of_aws_on_one_line() -> None:
    error = translated(client_error("AccessDeniedException", "User: arn:x\n  is not authorized"), REQUEST)
    assert (error.code, error.text) == ("AccessDeniedException", "User: arn:x is not authorized")
    assert str(error) == error.text


def test_where_no_answer_came_the_code_is_the_name_of_the_exception() -> None:
    assert (
        translated(botocore.exceptions.ConnectionClosedError(**URL), REQUEST).code == "ConnectionClosedError"
    )


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda answer: answer["services"][3], id="too few items"),
        pytest.param(lambda answer: answer["failures"], id="a member is missing"),
        pytest.param(lambda answer: int(answer["count"]), id="a number that is a word"),
        pytest.param(lambda answer: answer["count"].get("x"), id="a text instead of a structure"),
        pytest.param(lambda answer: answer["count"] + 1, id="a text instead of a number"),
    ],
)
def test_an_answer_of_another_shape_is_odd(read):  # type: ignore[no-untyped-def]
    with pytest.raises(OddAnswer, match="another shape") as caught, reading(REQUEST):
        read({"services": [], "count": "three"})
    assert caught.value.request == REQUEST


@pytest.mark.parametrize(
    ("error", "said", "diagnosis"),
    [
        pytest.param(
            client_error("AccessDenied", "x is not y"), "AWS refused to see it: x is not y", "", id="denied"
        ),
        pytest.param(
            client_error("SlowDown"),
            "AWS throttled us to the end when we wanted",
            "throttled",
            id="throttled",
        ),
        pytest.param(
            botocore.exceptions.ConnectionClosedError(**URL),
            "AWS did not answer when we wanted to see it (ConnectionClosedError: ",
            "",
            id="no answer",
        ),
        pytest.param(client_error("Odd", "no"), "AWS refused to see it (Odd: no).", "", id="anything else"),
    ],
)
def test_what_cannot_be_done_without_ends_the_run(error: Exception, said: str, diagnosis: str) -> None:
    with pytest.raises(Refused) as caught, needed_to("see it"):
        raise translated(error, REQUEST)
    assert caught.value.message.startswith(said)
    assert caught.value.diagnosis_code == diagnosis


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = [line.replace("│", " ").split() for line in (answers.__doc__ or "").splitlines() if "── " in line]
    names = {words[1] for words in drawn}
    kinds = {
        value.__name__
        for value in vars(answers).values()
        if isinstance(value, type) and issubclass(value, AwsError) and value is not AwsError
    }
    assert names == kinds
