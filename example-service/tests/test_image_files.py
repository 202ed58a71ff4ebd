"""What the files of the image say, without building it: base, platform, torch with CUDA, and compose."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import pytest

from conftest import unless_it_can_be_had
from docker_daemon import NO_COMPOSE, compose_plugin
from running import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
LOCKS = {
    name: dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "locks" / f"{name}.txt").read_text(), re.MULTILINE))
    for name in ("torch-cuda", "torch-cpu", "runtime", "model")
}
OF_CUDA = re.compile(r"nvidia-(?!ml-py)|cuda-|triton")
"""Not what asks the driver how its GPUs are."""


def test_the_base_is_named_by_its_digest_and_nothing_else_is_pulled() -> None:
    stages = re.findall(r"^FROM (?:--\S+ )?(\S+)(?: AS (\S+))?", DOCKERFILE, re.MULTILINE)
    own = {name for _, name in stages} | {"${BASE}", "model-${MODEL}"}
    pulled = [image for image, _ in stages if image not in own]
    assert len(pulled) == 1
    assert re.fullmatch(r"python:3\.\d+-slim@sha256:[0-9a-f]{64}", pulled[0])
    assert "syntax=" not in DOCKERFILE, "a front end would be pulled as well"


def test_dependabot_raises_that_digest() -> None:
    configuration = ROOT.parent / ".github" / "dependabot.yml"
    [docker] = re.findall(r"package-ecosystem: docker\n\s+directories: \[(.*)\]", configuration.read_text())
    assert f"/{ROOT.name}" in docker.split(", ")


def test_cuda_comes_with_torch_and_with_nothing_else() -> None:
    cuda, cpu = LOCKS["torch-cuda"], LOCKS["torch-cpu"]
    assert {name for name in cuda if not OF_CUDA.match(name)} == set(cpu), "the CPU build lacks CUDA only"
    assert cpu["torch"] == f"{cuda['torch']}+cpu"
    assert not [name for lock in ("runtime", "model") for name in LOCKS[lock] if OF_CUDA.match(name)]
    wanted = ("runtime", "cublas", "cudnn-cu13", "cufft", "cusolver", "cusparse", "nvjitlink")
    assert {f"nvidia-{name}" if name != "runtime" else "nvidia-cuda-runtime" for name in wanted} <= set(cuda)
    major = cuda["cuda-toolkit"].partition(".")[0]
    assert f"(CUDA {major}: the host's driver must be" in README


@pytest.mark.parametrize("torch", ["cpu", "cuda"])
def test_compose_starts_both_closed_and_as_the_image_is_meant_to_run(torch: str) -> None:
    plugin = compose_plugin()
    unless_it_can_be_had(None if plugin else NO_COMPOSE)
    files = ["-f", "compose.yaml", *(("-f", "compose.gpu.yaml") if torch == "cuda" else ())]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}

    def configured(**more: str) -> dict[str, Any]:
        command = [str(plugin), *files, "config", "--format", "json"]
        ran = subprocess.run(command, cwd=ROOT, env=environment | more, capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (0, "")
        return dict(json.loads(ran.stdout)["services"])

    services = configured()
    for service in services.values():
        assert service["image"] == f"ki-rag-api:{torch}"
        assert service["platform"] == "linux/amd64"
        assert (service["build"]["platforms"], service["build"]["args"]) == (
            ["linux/amd64"],
            {"TORCH": torch},
        )
        assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"])
        assert service["environment"]["ALLOW_CPU"] == ("1" if torch == "cpu" else "")
        devices = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
        assert bool(devices) is (torch == "cuda")
        assert all((d["driver"], d["count"], d["capabilities"]) == ("nvidia", 1, ["gpu"]) for d in devices)
    service = services["service"]
    assert service["environment"]["AUTH"] == "", "nobody is let in unless it is said"
    assert [port["host_ip"] for port in service["ports"]] == ["127.0.0.1"]
    assert [volume["target"] for volume in service["volumes"]] == ["/data"]
    assert "healthcheck" not in service, "the image's own, which knows the port"
    generator = {"OPENAI_BASE_URL": "http://vllm:8000/v1", "GENERATOR_MODEL": "ours"}
    told = configured(AUTH="keys", API_KEY_HASHES='{"app": "…"}', PORT="8080", **generator)["service"]
    assert told["environment"].items() >= generator.items(), "an endpoint of one's own has models of its own"
    assert told["ports"][0]["published"] == "8080"
    assert told["environment"]["API_KEY_HASHES"] == '{"app": "…"}'
