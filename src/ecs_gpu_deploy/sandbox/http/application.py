"""The sandbox over HTTP, as one WSGI application: ECS by us, everything else by moto, faults before both."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from email.utils import formatdate
from io import BytesIO
from typing import Any

from ecs_gpu_deploy.sandbox.ecs.codedeploy import OPERATIONS as CODEDEPLOY_OPERATIONS
from ecs_gpu_deploy.sandbox.ecs.codedeploy import codedeploy_response
from ecs_gpu_deploy.sandbox.ecs.operations import ecs_response
from ecs_gpu_deploy.sandbox.ecs.tagging import tagged_resources
from ecs_gpu_deploy.sandbox.http import door
from ecs_gpu_deploy.sandbox.http.control import control_answer
from ecs_gpu_deploy.sandbox.neighbours.container_registry import public_authorization
from ecs_gpu_deploy.sandbox.neighbours.github_issuer import RUNNER_TOKEN
from ecs_gpu_deploy.sandbox.neighbours.neighbours import auto_scaling_groups_xml, target_health_xml
from ecs_gpu_deploy.sandbox.neighbours.policy_simulator import ACTION as SIMULATION
from ecs_gpu_deploy.sandbox.neighbours.sessions import (
    OWN_STS_ACTIONS,
    TOKEN_PATH,
    assumed_role_xml,
    caller_identity_xml,
    expired_session,
    github_token_request,
)
from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError, serialization
from ecs_gpu_deploy.sandbox.protocol.calls import Request, json_of, request_of
from ecs_gpu_deploy.sandbox.protocol.error_bodies import JSON_TYPE, error_body
from ecs_gpu_deploy.sandbox.protocol.faults import Fault
from ecs_gpu_deploy.sandbox.protocol.shapes import WrongResponse
from ecs_gpu_deploy.sandbox.protocol.signature_time import mistimed
from ecs_gpu_deploy.sandbox.world.state import Sandbox

StartResponse = Callable[..., Any]
READABLE_TYPES = ("application/x-amz-json", "application/json", "application/x-www-form-urlencoded")
REASONS: Mapping[int, str] = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Application:
    """Answer AWS's protocols and the sandbox's own endpoints under `/_sandbox/`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "/")
        if why := door.refusal(path, environ):
            return self._respond(start_response, 403, f"{why}\n", content_type="text/plain")
        if path.startswith("/_sandbox/") and path != TOKEN_PATH:
            status, document = control_answer(
                self._sandbox,
                environ["REQUEST_METHOD"],
                path,
                environ.get("QUERY_STRING", ""),
                _body(environ),
            )
            text = json.dumps(document)
            return self._respond(start_response, status, text, content_type="application/json")
        body = _body(environ) if environ.get("CONTENT_TYPE", "").startswith(READABLE_TYPES) else b""
        if body:
            environ["wsgi.input"] = BytesIO(body)
            environ["CONTENT_LENGTH"] = str(len(body))
        sandbox = self._sandbox
        if path == TOKEN_PATH:
            request = github_token_request(environ, region=sandbox.world.region)
        else:
            request = request_of(environ, body, default_region=sandbox.world.region)
        with sandbox.lock:
            now = sandbox.catch_up()
            caller = sandbox.caller_arn(request.access_key_id)
            refusal = sandbox.faults.refusal(request, caller=caller, resource=self._resource(request))
            if sandbox.has_expired(request.access_key_id, now=now):
                refusal = expired_session(request)
            fault = None if refusal else sandbox.faults.fault_of(request, now=now)
        if fault is not None and fault.delay_seconds:
            time.sleep(fault.delay_seconds)
        if fault is not None and fault.reset:
            self._log(request, caller, 0, "ConnectionReset")
            _reset_connection(environ)
        error = refusal or (fault.api_error() if fault else None)
        if fault is not None and fault.signature_time:
            error = mistimed(request, environ.get("HTTP_X_AMZ_DATE", ""), now=now)
        if error is not None:
            return self._refuse(start_response, request, caller, error)
        if fault is not None and fault.body is not None:
            return self._respond_with_fault(start_response, request, caller, fault)
        if request.service == "github":
            return self._answer_github(environ, start_response, request)
        if request.action in OWN_STS_ACTIONS:
            return self._answer_sts(environ, start_response, request, caller)
        ours = request.service == "codedeploy" and request.operation in CODEDEPLOY_OPERATIONS
        if ours or request.service == "ecs":
            return self._answer_ours(start_response, request, caller, body)
        if request.action == "tag:GetResources":
            return self._answer_tagging(start_response, request, caller, body)
        if request.protocol == "json":
            try:
                _document(body)
            except ApiError as unreadable:
                return self._refuse(start_response, request, caller, unreadable)
        return self._answer_neighbour(environ, start_response, request, caller)

    def _answer_ours(
        self, start_response: StartResponse, request: Request, caller: str, body: bytes
    ) -> Iterable[bytes]:
        """Answer ECS, and what CodeDeploy does with it: applications and groups of CodeDeploy are moto's."""
        answer = ecs_response if request.service == "ecs" else codedeploy_response
        try:
            parameters = _parameters(request, body)
            with self._sandbox.lock:
                self._sandbox.catch_up()
                self._check_tagging(request, caller, parameters)
                region = self._sandbox.region(request.region)
                region.caller = caller
                text = answer(region, request.operation, parameters)
        except ApiError as error:
            return self._refuse(start_response, request, caller, error)
        except WrongResponse as error:
            bug = ApiError("InternalFailure", f"The sandbox wrote a wrong answer: {error}", status=500)
            return self._refuse(start_response, request, caller, bug)
        self._log(request, caller, 200, None)
        return self._respond(start_response, 200, text, content_type=JSON_TYPE)

    def _check_tagging(self, request: Request, caller: str, parameters: Mapping[str, Any]) -> None:
        """Refuse tags at creation where ecs:TagResource is denied ("Tagging resources during creation")."""
        if parameters.get("tags") and request.operation != "TagResource":
            tagging = replace(request, operation="TagResource")
            refusal = self._sandbox.faults.refusal(tagging, caller=caller, resource=self._resource(request))
            if refusal is not None:
                raise refusal

    def _answer_tagging(
        self, start_response: StartResponse, request: Request, caller: str, body: bytes
    ) -> Iterable[bytes]:
        """List tagged task definitions as the Resource Groups Tagging API does."""
        try:
            parameters = _parameters(request, body)
            with self._sandbox.lock:
                text = json.dumps(tagged_resources(self._sandbox.region(request.region), parameters))
        except ApiError as error:
            return self._refuse(start_response, request, caller, error)
        self._log(request, caller, 200, None)
        return self._respond(start_response, 200, text, content_type=JSON_TYPE)

    def _answer_github(
        self, environ: Mapping[str, Any], start_response: StartResponse, request: Request
    ) -> Iterable[bytes]:
        """Give a job its token, as GitHub's service does: `{"count": 1, "value": TOKEN}`."""
        sandbox = self._sandbox
        shown = environ.get("HTTP_AUTHORIZATION", "")
        if sandbox.world.github is None or shown.partition(" ")[2] != RUNNER_TOKEN:
            self._log(request, "", 401, "Unauthorized")
            refused = json.dumps({"message": "The runner's token is not valid."})
            return self._respond(start_response, 401, refused, content_type="application/json")
        with sandbox.lock:
            audience = request.parameters.get("audience")
            value = sandbox.issuer.token(audience=audience, now=sandbox.clock.now())
        self._log(request, "", 200, None)
        text = json.dumps({"count": len(value), "value": value})
        return self._respond(start_response, 200, text, content_type="application/json")

    def _answer_sts(
        self, environ: dict[str, Any], start_response: StartResponse, request: Request, caller: str
    ) -> Iterable[bytes]:
        """Answer what sessions of roles are about, on the clock here; the rest of STS is moto's."""
        sandbox = self._sandbox
        if request.operation == "GetCallerIdentity":
            session = sandbox.sessions.get(request.access_key_id)
            if session is None:
                return self._answer_neighbour(environ, start_response, request, caller)
            text = caller_identity_xml(session)
        else:
            try:
                with sandbox.lock:
                    now = sandbox.catch_up()
                    session = (
                        sandbox.assume_role(request.parameters, request.access_key_id, now=now)
                        if request.operation == "AssumeRole"
                        else sandbox.assume_role_with_web_identity(request.parameters, now=now)
                    )
            except ApiError as error:
                return self._refuse(start_response, request, caller, error)
            text = assumed_role_xml(request.operation, session)
        self._log(request, caller, 200, None)
        return self._respond(start_response, 200, text, content_type="text/xml")

    def _answer_neighbour(
        self, environ: dict[str, Any], start_response: StartResponse, request: Request, caller: str
    ) -> Iterable[bytes]:
        sandbox = self._sandbox
        with sandbox.lock:
            sandbox.catch_up()
            if request.action == "ecr-public:GetAuthorizationToken":  # moto has no public registry
                self._log(request, caller, 200, None)
                text = public_authorization(now=sandbox.clock.now())
                return self._respond(start_response, 200, text, content_type=JSON_TYPE)
            sandbox.neighbours.open(request.service)
            if request.service == "ecr" and sandbox.registry is not None:
                if request.operation == "GetAuthorizationToken":
                    self._log(request, caller, 200, None)
                    text = sandbox.registry.authorization(now=sandbox.clock.now())
                    return self._respond(start_response, 200, text, content_type=JSON_TYPE)
                try:
                    if request.operation == "PutImage":
                        sandbox.registry.put_tag(request.parameters)
                    sandbox.neighbours.show_registry(sandbox.registry)
                except OSError as error:
                    ill = f"The registry at {sandbox.registry.endpoint} does not answer: {error}"
                    return self._refuse(
                        start_response, request, caller, ApiError("ServerException", ill, status=500)
                    )
            if request.action == "ecr:GetDownloadUrlForLayer":
                return self._answer_download(environ, start_response, request, caller)
            if request.action == SIMULATION:
                return self._answer_simulation(start_response, request, caller)
            if request.action == "elasticloadbalancing:DescribeTargetHealth":
                described = sandbox.target_health(str(request.parameters.get("TargetGroupArn", "")))
                if described is not None:
                    wanted = {
                        value
                        for name, value in request.parameters.items()
                        if name.startswith("Targets.member.") and name.endswith(".Id")
                    }
                    shown = [one for one in described if not wanted or one["Id"] in wanted]
                    self._log(request, caller, 200, None)
                    text = target_health_xml(shown, str(uuid.uuid4()))
                    return self._respond(start_response, 200, text, content_type="text/xml")
            if request.action == "autoscaling:DescribeAutoScalingGroups":
                named = {
                    value
                    for name, value in request.parameters.items()
                    if name.startswith("AutoScalingGroupNames.member.")
                }
                if groups := sandbox.auto_scaling_groups(named):
                    self._log(request, caller, 200, None)
                    text = auto_scaling_groups_xml(groups, str(uuid.uuid4()))
                    return self._respond(start_response, 200, text, content_type="text/xml")
            status = ""

            def started(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                nonlocal status
                status = line
                kept = [(name, value) for name, value in headers if name.lower() != "date"]
                return start_response(line, [*kept, ("Date", self._date())], exc_info)

            chunks: list[bytes] = []
            try:
                answer = sandbox.neighbours.answer(environ, started)
                try:
                    chunks += answer
                finally:
                    close = getattr(answer, "close", None)
                    if close is not None:
                        close()
            except NotImplementedError:
                lacking = ApiError(
                    "NotImplemented", f"The local AWS has no {request.action}.", status=501
                )  # 501, as SDKs would repeat a 500 for minutes
                return self._refuse(start_response, request, caller, lacking)
            except Exception as error:  # noqa: BLE001 - moto believes that a request has its members' types
                odd = ApiError("ValidationException", f"moto cannot read it: {type(error).__name__}: {error}")
                return self._refuse(start_response, request, caller, odd)
        code = int(status.partition(" ")[0] or 0)
        self._log(request, caller, code, None if code < 400 else status)
        return chunks

    def _answer_download(
        self, environ: Mapping[str, Any], start_response: StartResponse, request: Request, caller: str
    ) -> Iterable[bytes]:
        """Say where an image's configuration can be fetched; of layers there is nothing but their digests."""
        digest = str(request.parameters.get("layerDigest", ""))
        if self._sandbox.neighbours.images.config(digest) is None:
            lacking = ApiError("LayersNotFoundException", f"The layer with digest {digest[:80]} is not here.")
            return self._refuse(start_response, request, caller, lacking)
        address = f"http://{environ.get('HTTP_HOST', '')}/_sandbox/blob?digest={digest}"
        self._log(request, caller, 200, None)
        text = json.dumps({"downloadUrl": address, "layerDigest": digest})
        return self._respond(start_response, 200, text, content_type=JSON_TYPE)

    def _answer_simulation(
        self, start_response: StartResponse, request: Request, caller: str
    ) -> Iterable[bytes]:
        """Say what a principal may do, by its policies and by what the world denies."""

        def is_denied(action: str) -> bool:
            service, _, operation = action.partition(":")
            asked = replace(request, service=service, operation=operation)
            return self._sandbox.faults.refusal(asked, caller=caller, resource="*") is not None

        try:
            text = self._sandbox.neighbours.simulation(request.parameters, is_denied=is_denied)
        except ApiError as error:
            return self._refuse(start_response, request, caller, error)
        self._log(request, caller, 200, None)
        return self._respond(start_response, 200, text, content_type="text/xml")

    def _refuse(
        self, start_response: StartResponse, request: Request, caller: str, error: ApiError
    ) -> Iterable[bytes]:
        self._log(request, caller, error.status, error.code)
        body = error_body(request, error, str(uuid.uuid4()))
        return self._respond(
            start_response, error.status, body.content, content_type=body.content_type, headers=body.headers
        )

    def _respond_with_fault(
        self, start_response: StartResponse, request: Request, caller: str, fault: Fault
    ) -> Iterable[bytes]:
        status = fault.status or 200
        self._log(request, caller, status, "fault")
        kind = JSON_TYPE if request.protocol == "json" else "text/xml"
        return self._respond(start_response, status, fault.body or "", content_type=kind)

    def _respond(
        self,
        start_response: StartResponse,
        status: int,
        text: str | bytes,
        *,
        content_type: str,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Iterable[bytes]:
        content = text.encode() if isinstance(text, str) else text
        start_response(
            f"{status} {REASONS.get(status, 'Error')}",
            [
                ("Content-Type", content_type),
                ("Content-Length", str(len(content))),
                ("x-amzn-RequestId", str(uuid.uuid4())),
                ("Date", self._date()),
                *headers,
            ],
        )
        return [content]

    def _date(self) -> str:
        """Return the model's time for the Date header: clients take it for the server's clock."""
        return formatdate(self._sandbox.clock.now(), usegmt=True)

    def _log(self, request: Request, caller: str, status: int, error: str | None) -> None:
        self._sandbox.calls.add(
            request, at=self._sandbox.clock.now(), caller=caller, status=status, error=error
        )

    def _resource(self, request: Request) -> str:
        """Name the resource of a refusal as IAM does, as far as the request tells."""
        parameters = request.parameters
        if request.service != "ecs":
            return "*"
        cluster = str(parameters.get("cluster") or "default").rpartition("/")[2]
        region = self._sandbox.region(request.region)
        service = parameters.get("service") or next(iter(parameters.get("services") or ()), None)
        if service:
            name = str(service)
            return name if name.startswith("arn:") else region.arn(f"service/{cluster}/{name}")
        for member in ("serviceDeploymentArns", "serviceRevisionArns"):
            if parameters.get(member):
                return str(parameters[member][0])
        return region.arn(f"cluster/{cluster}") if "cluster" in parameters else "*"


def _body(environ: Mapping[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH")
    if length:
        content: bytes = environ["wsgi.input"].read(int(length))
        return content
    if environ.get("wsgi.input_terminated"):
        streamed: bytes = environ["wsgi.input"].read()
        return streamed
    return b""


def _parameters(request: Request, body: bytes) -> dict[str, Any]:
    """Read an ECS request: signed JSON 1.1, the one protocol that its model names."""
    if request.protocol != "json":
        raise ApiError("UnknownOperationException", "")
    if not request.access_key_id:
        raise ApiError("MissingAuthenticationTokenException", "Missing Authentication Token")
    return _document(body)


def _document(body: bytes) -> dict[str, Any]:
    try:
        parameters = json_of(body)
    except ValueError as error:
        raise serialization("Unable to parse the request body as JSON.") from error
    if not isinstance(parameters, dict):
        raise serialization("Start of structure or map expected.")
    return parameters


def _reset_connection(environ: Mapping[str, Any]) -> None:
    """Close the client's connection with a TCP reset, without an answer."""
    import socket  # noqa: PLC0415
    import struct  # noqa: PLC0415

    connection: socket.socket = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    raise ConnectionResetError("reset on purpose")
