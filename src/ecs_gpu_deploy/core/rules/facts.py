"""What rules need beyond AWS's documents: what a container's command, environment and checks come to.

Each container gets one object of facts; docs/rules.md lists them. A fact that is not known is None, and the
rule that needs it is not checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ecs_gpu_deploy.core.capacity.gpus import GpuKind, gpu_requests_of
from ecs_gpu_deploy.core.defaults import stop_timeout
from ecs_gpu_deploy.core.definition.secret_text import looks_secret
from ecs_gpu_deploy.core.definition.sizes import memory_mib
from ecs_gpu_deploy.core.definition.task_definition import is_essential, network_mode
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.judge.timing import ContainerCheck, container_allowance
from ecs_gpu_deploy.core.rules.command_line import CommandLine, command_line
from ecs_gpu_deploy.errors import InvalidInput

_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?)$", re.IGNORECASE
)
_NO_SECRET: Final = re.compile(
    r"|true|false|none|null|\d{1,6}|\$.*|arn:.*|/.*|(?:EMPTY|dummy|not-?needed|change[-_]?me.*|x+)"
    r"|enabled|disabled|required|optional|<.*>|\[.*\]",
    re.IGNORECASE,
)
"""Values that stand where a secret would, and are none: the special tokens of a model too."""
_MODEL_OPTIONS: Final = ("--model", "--model-id", "--model-path", "--model_id")
_MODEL_NAMES: Final = ("MODEL_ID", "MODEL_NAME", "MODEL", "HF_MODEL_ID")
_BILLIONS: Final = re.compile(r"(?<![\w.])(?:(\d{1,2})x)?(\d{1,3}(?:\.\d{1,2})?)[bB](?![a-zA-Z0-9])")
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{1,95}/[A-Za-z0-9][\w.-]{1,95}")
_WAIT_NAME: Final = re.compile(
    r"(?:REQUEST|INFERENCE|GENERATION|RESPONSE)_TIMEOUT(?:_S|_SECONDS)?", re.IGNORECASE
)
_SECONDS: Final = re.compile(r"\d{1,5}(?:\.\d{1,3})?")
_LEAST_BYTES_A_PARAMETER: Final = 0.5
"""Weights of four bits: what few models go below, and those say so in their names."""
_FEW_BITS: Final = re.compile(
    r"(?<![0-9])(?:1(?:\.58)?|2|3)[-_ ]?bit|\bI?Q[123]_|-[IT]?Q[123](?:_|\b)|AQLM|BitNet", re.IGNORECASE
)
_HOSTS: Final = {
    **dict.fromkeys(("uvicorn", "sglang"), "127.0.0.1"),
    **dict.fromkeys(("tgi", "tei", "vllm"), "0.0.0.0"),  # noqa: S104
}

FACTS: Final[Mapping[str, str]] = {
    "name": "its name",
    "raw": "the container definition itself",
    "essential": "whether the task ends with it",
    "isBalanced": "whether a load balancer of the service sends to it",
    "balancedPorts": "the ports of it that load balancers send to",
    "image": "`text`, `name`, `tag`, `digest`",
    "environment": "the variables of the definition, over those of its image where that was read",
    "words": "the words of its entry point and command, those of the image where it has none",
    "server": "uvicorn (also `fastapi run`), gunicorn, vllm, tgi, tei, triton or sglang, by command or image",
    "isDirect": "whether that server is all that the command starts",
    "gpuKind": "how it asks for GPUs: count, fraction, all or mps; null for none",
    "gpus": "how many it asks for; null for ALL",
    "workers": "how many processes of uvicorn or Gunicorn serve (`--workers`, `WEB_CONCURRENCY`)",
    "modelGpus": "over how many GPUs its server spreads the model, by its options",
    "isOneOfMany": "whether the model is spread over several hosts",
    "port": "the port that its command names",
    "host": "the address that its server listens on",
    "requestSeconds": "how long a request may take, by a variable such as `REQUEST_TIMEOUT_SECONDS`",
    "gracefulSeconds": "how long its server takes to shut down at most, by its options",
    "keepAliveSeconds": "how long its server keeps an idle connection open",
    "stopTimeout": "the seconds between SIGTERM and SIGKILL",
    "memory": "its memory limit or that of its task, MiB",
    "sharedMemory": "its `sharedMemorySize`, MiB",
    "sharesHostMemory": "whether the task has the host's shared memory (`ipcMode: host`)",
    "user": "whom it runs as; null where the image was not read",
    "check": "its health check, null for none",
    "checkCommand": "the command of that as one text",
    "checkAllowed": "the seconds of loading that its health check surely allows",
    "checkAllowedAtMost": "the seconds of loading beyond which that surely stops it",
    "grace": "the service's health check grace period, seconds",
    "loadSeconds": "as above",
    "modelName": "the model that its command or environment names",
    "modelMib": "the least that its weights take, MiB, by the size in its name at four bits a parameter",
    "downloadsModel": "whether that is a name on a hub and no path",
    "plainSecrets": "the names of its variables whose values look like secrets",
    "twiceNamed": "the names that it has as a variable and as a secret",
    "networkMode": "the task's network mode",
}
"""What `container_facts` gives, in words."""


def container_facts(
    container: Mapping[str, Any],
    definition: Mapping[str, Any],
    *,
    service: Mapping[str, Any] | None = None,
    image: Mapping[str, Any] | None = None,
    load_seconds: float | None = None,
) -> dict[str, Any]:
    """Return the facts on one raw *container* of *definition*; times are in seconds, sizes in MiB.

    *service* is DescribeServices' own object, *image* the member of that name of the rules' document, if it
    is this container's. Sources: API Reference, ContainerDefinition and TaskDefinition.
    """
    config = (image or {}).get("config") or {}
    environment = {
        **(config.get("environment") or {}),
        **{str(pair.get("name")): pair.get("value") or "" for pair in container.get("environment") or ()},
    }
    reference = _reference(str(container.get("image") or ""))
    line = _command(container, config, reference, environment)
    kind, gpus = _gpus(container)
    check = container.get("healthCheck") or None
    if check and list(check.get("command") or ())[:1] == ["NONE"]:
        check = None
    grace = float((service or {}).get("healthCheckGracePeriodSeconds") or 0)
    model = _model(line, environment)
    return {
        "name": container.get("name"),
        "essential": is_essential(container),
        "isBalanced": _is_balanced(container, service),
        "balancedPorts": _balanced_ports(container, service),
        "image": reference,
        "environment": environment,
        "words": list(line.words),
        "server": line.server or None,
        "isDirect": line.is_direct,
        "gpuKind": kind,
        "gpus": gpus,
        "workers": _workers(line, environment),
        "modelGpus": _model_gpus(line, environment),
        "isOneOfMany": _is_one_of_many(line),
        "port": line.number("--port", "--http-port"),
        "host": _host(line, environment),
        "requestSeconds": _request_seconds(environment),
        "gracefulSeconds": line.number("--graceful-timeout", "--timeout-graceful-shutdown"),
        "keepAliveSeconds": _keep_alive(line),
        "stopTimeout": stop_timeout(container),
        "memory": container.get("memory") or memory_mib(definition.get("memory") or ""),
        "sharedMemory": (container.get("linuxParameters") or {}).get("sharedMemorySize"),
        "sharesHostMemory": definition.get("ipcMode") == "host",
        "user": container.get("user") or (config.get("user") if config else None),
        "check": check,
        "checkCommand": " ".join(map(str, (check or {}).get("command") or ())) or None,
        "checkAllowed": _check_allowed(check, grace),
        "checkAllowedAtMost": _check_allowed(check, grace, at_most=True),
        "grace": grace,
        "loadSeconds": load_seconds,
        "modelName": model,
        "modelMib": model_mib(model),
        "downloadsModel": bool(model and _HUB_NAME.fullmatch(model)) if model else None,
        "plainSecrets": plain_secrets(container),
        "twiceNamed": _twice_named(container),
        "networkMode": network_mode(definition),
        "raw": container,
    }


def plain_secrets(container: Mapping[str, Any]) -> list[str]:
    """Return the names of the variables of a raw container whose values look like secrets."""
    found = []
    for pair in container.get("environment") or ():
        name, value = str(pair.get("name") or ""), str(pair.get("value") or "")
        named = _SECRET_NAME.search(name) and len(value) >= 6 and not _NO_SECRET.fullmatch(value)
        if value and (named or looks_secret(value)):
            found.append(name)
    return found


def model_mib(name: str | None) -> int | None:
    """Return the least MiB that the weights of a model take which names its size, such as Llama-3-70B.

    Four bits a parameter: the least that is in use. None where the name tells no size.
    """
    match = None if name is None else _BILLIONS.search(name.rpartition("/")[2])
    if not match or _FEW_BITS.search(name or ""):
        return None
    experts = int(match[1] or 1)
    billions = float(match[2]) * (1 if experts == 1 else experts * 0.8)
    return int(billions * 1e9 * _LEAST_BYTES_A_PARAMETER / 2**20)


def _reference(image: str) -> dict[str, Any]:
    try:
        read = ImageReference.from_text(image)
    except InvalidInput:
        return {"text": image, "name": None, "tag": None, "digest": None}
    return {"text": image, "name": read.name, "tag": read.tag or None, "digest": read.digest or None}


def _command(
    container: Mapping[str, Any],
    config: Mapping[str, Any],
    reference: Mapping[str, Any],
    environment: Mapping[str, str],
) -> CommandLine:
    """Read the command as Docker puts it together: an entry point of its own drops the image's command."""
    own_entry, own_command = container.get("entryPoint") or (), container.get("command") or ()
    entry = own_entry or config.get("entryPoint") or ()
    command = own_command or (() if own_entry else config.get("command") or ())
    return command_line(entry, command, image_name=reference["name"] or "", environment=environment)


def _gpus(container: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """Return how GPUs are asked for, and how many; None for ALL."""
    try:
        requests = list(gpu_requests_of(container))
    except ValueError:
        return None, None
    if not requests:
        return None, 0
    request = requests[0]
    match request.kind:
        case GpuKind.COUNT:
            return "count", request.count
        case GpuKind.FRACTION:
            return "fraction", request.fraction
        case GpuKind.MPS:
            return "mps", 1
        case _:
            return "all", None


def _is_balanced(container: Mapping[str, Any], service: Mapping[str, Any] | None) -> bool | None:
    if service is None:
        return None
    return any(
        each.get("containerName") == container.get("name") for each in service.get("loadBalancers") or ()
    )


def _balanced_ports(container: Mapping[str, Any], service: Mapping[str, Any] | None) -> list[int] | None:
    if service is None:
        return None
    return [
        each["containerPort"]
        for each in service.get("loadBalancers") or ()
        if each.get("containerName") == container.get("name") and each.get("containerPort")
    ]


def _workers(line: CommandLine, environment: Mapping[str, str]) -> int | None:
    """Return how many processes a server starts that each load the model."""
    if line.server not in {"uvicorn", "gunicorn"}:
        return None
    told = line.number("-w", "--workers")
    if told is None and line.option("-w", "--workers") is None:
        concurrency = environment.get("WEB_CONCURRENCY", "")
        told = int(concurrency) if re.fullmatch(r"\d{1,4}", concurrency) else 1
    return told


def _model_gpus(line: CommandLine, environment: Mapping[str, str]) -> int | None:
    """Return over how many GPUs a server spreads its model, as its options say; None where it decides."""
    match line.server:
        case "vllm":
            parts = (
                line.number("--tensor-parallel-size", "-tp"),
                line.number("--pipeline-parallel-size", "-pp"),
                line.number("--data-parallel-size", "-dp"),
            )
            return (parts[0] or 1) * (parts[1] or 1) * (parts[2] or 1)
        case "sglang":
            tensor = line.number("--tp-size", "--tp", "--tensor-parallel-size") or 1
            return tensor * (line.number("--dp-size", "--dp", "--data-parallel-size") or 1)
        case "tgi":
            told = line.option("--num-shard") or environment.get("NUM_SHARD", "")
            return int(told) if re.fullmatch(r"\d{1,3}", told) else None
        case _:
            return None


def _is_one_of_many(line: CommandLine) -> bool:
    """Say whether the model is spread over several hosts, so that the GPUs of one need not be enough."""
    several = line.number("--nnodes") or line.number("--data-parallel-size-local")
    return line.option("--distributed-executor-backend") == "ray" or bool(several)


def _host(line: CommandLine, environment: Mapping[str, str]) -> str | None:
    told = line.option("--host", "--hostname")
    if told is None and line.server == "uvicorn":
        told = environment.get("UVICORN_HOST")
    if told is None and line.option("--uds", "--fd") is not None:
        return None
    if told is None and any(word.rpartition("/")[2] == "fastapi" for word in line.words):
        return "0.0.0.0"  # noqa: S104 (FastAPI CLI: what `fastapi run` does)
    return told if told is not None else _HOSTS.get(line.server)


def _request_seconds(environment: Mapping[str, str]) -> float | None:
    """Return how long a request may take as the container's own settings say."""
    for name, value in environment.items():
        if _WAIT_NAME.fullmatch(name) and _SECONDS.fullmatch(value):
            return float(value)
    return None


def _keep_alive(line: CommandLine) -> int | None:
    """Return how many seconds a server keeps an idle connection open: uvicorn 5, Gunicorn 2 by themselves."""
    match line.server:
        case "uvicorn":
            default, told = 5, line.number("--timeout-keep-alive")
        case "gunicorn" if line.option("-c", "--config") is None:
            default, told = 2, line.number("--keep-alive")
        case _:
            return None
    return default if told is None else told


def _model(line: CommandLine, environment: Mapping[str, str]) -> str | None:
    told = line.option(*_MODEL_OPTIONS)
    if not told and line.server == "vllm" and "serve" in line.words:
        at = line.words.index("serve") + 1
        told = line.words[at] if at < len(line.words) else ""
    if not told:
        told = next((environment[name] for name in _MODEL_NAMES if environment.get(name)), "")
    return told if told and not told.startswith(("-", "$")) else None


def _check_allowed(check: Mapping[str, Any] | None, grace: float, *, at_most: bool = False) -> float | None:
    """Return the seconds of loading that a health check surely allows, or *at_most* allows; None without one.

    At most: the last counted check still begins, and succeeds, after the whole of what is allowed
    (docs/aws-facts.md#load-time).
    """
    if not check:
        return None
    own = ContainerCheck.of(check)
    if at_most:
        return max(grace, own.start_period + own.retries * (own.interval + own.timeout))
    return container_allowance(own.start_period, own.retries, own.interval, own.timeout, grace)


def _twice_named(container: Mapping[str, Any]) -> list[str]:
    variables = {str(pair.get("name")) for pair in container.get("environment") or ()}
    return sorted(variables & {str(pair.get("name")) for pair in container.get("secrets") or ()})
