"""Builds and pushes with the real daemon, buildx, Podman and a registry: docs/push.md is what they told.

A row that changed is written with PUSH_TABLE=write in the environment.
"""

import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import pytest
from push_situations import BUILDX, PODMAN, SITUATIONS

from docker_services import PASSWORD, PATH, USERNAME, buildx_home, busybox_context, docker_services, output
from ecs_gpu_deploy.core.text import inline_code
from fault_proxy import Wrong, fault_proxy
from forked_program import run_forked
from sandbox_process import clean_environment, sandbox_thread
from worlds import default_world

PAGE = Path(__file__).parents[2] / "docs" / "push.md"
MARKS = ("<!-- begin: situations -->", "<!-- end: situations -->")
SHA = "0123456789abcdef0123456789abcdef01234567"
MOST_MEGABYTES = 400
HELPER = f"""#!/bin/sh
case "$1" in
  get) read -r server
    case "$server" in
      localhost:*) echo '{{"ServerURL": "x", "Username": "{USERNAME}", "Secret": "{PASSWORD}"}}';;
      *) echo "credentials not found in native keychain"; exit 1;;
    esac;;
  store) cat > /dev/null; echo store-got-ours; exit 1;;
  list) echo '{{}}';;
esac
"""
PODMAN_AS_DOCKER = '#!/bin/sh\nexec /usr/bin/podman "$@"\n'


class Workshop:
    """Daemon, registry behind a proxy, sandbox, and one folder a situation."""

    def __init__(self, folder, services, sandbox, proxy, address):
        self.folder = folder
        self.services = services
        self.sandbox = sandbox
        self.proxy = proxy
        self.address = address
        self.other = f"localhost:{services.registry.rpartition(':')[2]}"
        self.store = folder / "store"
        self.bin = folder / "bin"
        self.buildx_home = None
        self.shown = {}
        self.peaks = []

    def prepare(self):
        """Put base images into the registry, a key store beside Docker, and Podman in its place."""
        self.bin.mkdir()
        (self.bin / "docker").write_text(PODMAN_AS_DOCKER)
        helpers = self.folder / "helpers"
        helpers.mkdir()
        (helpers / "docker-credential-chest").write_text(HELPER)
        for script in (self.bin / "docker", helpers / "docker-credential-chest"):
            script.chmod(0o755)
        self.store.mkdir()
        (self.store / "config.json").write_text(json.dumps({"credsStore": "chest"}))
        (self.folder / "registries.conf").write_text(
            "".join(
                f'[[registry]]\nlocation = "{one}"\ninsecure = true\n'
                for one in (self.address, "127.0.0.1:1")
            )
        )
        context = busybox_context(self.folder / "base")
        name = f"{self.services.registry}/base:1"
        variables = {
            **self.services.environment,
            "DOCKER_BUILDKIT": "1",
            "DOCKER_CONFIG": str(self.folder / "login"),
        }
        output("docker", "build", "-q", "-t", name, str(context), env=variables)
        login = ["docker", "login", "--username", USERNAME, "--password-stdin", self.services.registry]
        subprocess.run(login, input=PASSWORD, env=variables, text=True, check=True, capture_output=True)
        # BuildKit keeps what it resolved by the name of a repository, for every session: what is private is
        # never the base of a situation that has a login ("kept").
        for other in ("private", "kept", "ill"):
            output("docker", "tag", name, f"{self.services.registry}/{other}:1", env=variables)
            output("docker", "push", "-q", f"{self.services.registry}/{other}:1", env=variables)
        self.key = self.folder / "key"
        output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        self.proxy.told["ill"] = (Wrong(where="manifests", how=503, times=1),)

    def filled(self, text):
        """Return *text* with the addresses of this run."""
        values = {"registry": self.address, "other": self.other, "store": self.store, "key": self.key}
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def environment(self, situation):
        """Return the program's environment, with the builder that the situation is about."""
        variables = {**self.services.environment, "GITHUB_SHA": SHA}
        variables["PATH"] = f"{self.folder / 'helpers'}:{PATH}"
        variables["HOME"] = str(self.folder / "home")
        if situation.builder == PODMAN:
            del variables["DOCKER_HOST"]
            variables["PATH"] = f"{self.bin}:{PATH}"
            variables["CONTAINERS_REGISTRIES_CONF"] = str(self.folder / "registries.conf")
            variables["BUILDAH_FORMAT"] = "docker"
            variables["CONTAINERS_STORAGE_CONF"] = str(self.folder / "storage.conf")
        if situation.builder == BUILDX:
            variables["HOME"] = str(self.buildx_home)
        return variables | {name: self.filled(value) for name, value in situation.variables.items()}

    def run(self, number, situation):
        """Run the program in the situation; return exit code, output and result."""
        repository = f"new-{number}" if situation.creates else f"rag-{number}"
        self.proxy.told["" if situation.alone else repository] = situation.wrong
        folder = self.folder / f"s{number}"
        dockerfile = self.filled(situation.dockerfile)
        busybox_context(folder / "context", dockerfile=dockerfile)
        if dockerfile.startswith("FROM"):
            (folder / "context" / "Dockerfile").write_text(dockerfile)
        for name, text in situation.files.items():
            for place in (folder, folder / "context"):
                (place / name).write_text(text)
                (place / name).chmod(0o755)
        flags = ["--cluster", "ki-cluster"] if situation.deploys else []
        if situation.deploys and "--service" not in situation.flags:
            flags += ["--service", "ki-rag-api"]
        flags += ["--create-repository", "true"] if situation.creates else []
        summary = folder / "summary.md"
        summary.touch()
        arguments = [
            *("deploy" if situation.deploys else "push", "--repository", repository),
            *("--context", "context", "--build-network", "host"),
            *("--result-file", "result.json", *flags, *map(self.filled, situation.flags)),
        ]
        environment = clean_environment(
            self.sandbox,
            RUNNER_TEMP=str(folder),
            GITHUB_STEP_SUMMARY=str(summary),
            **self.environment(situation),
        )
        for _ in range(1 + situation.again):
            ended = run_forked(arguments, folder, environment)
        self.proxy.told[""] = ()
        result = json.loads((folder / "result.json").read_text())
        self.shown[number] = ended.shown
        self.peaks.append(ended.peak)
        return ended.code, ended.shown, result, summary.read_text()


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    with ExitStack() as stack:
        services = stack.enter_context(docker_services(folder))
        proxy, address = stack.enter_context(fault_proxy(services.registry))
        world = default_world()
        world["registry"] = {
            **services.world_registry,
            "endpoint": f"http://{address}",
            "address": f"http://{services.registry}",
        }
        world["repositories"] = [f"rag-{number}" for number, one in enumerate(SITUATIONS) if not one.creates]
        busy = {**world["services"][0], "serviceName": "busy", "desiredCount": 1}
        for name in ("loadBalancers", "healthCheckGracePeriodSeconds"):
            del busy[name]
        world["services"].append(busy)
        sandbox = stack.enter_context(sandbox_thread(json.dumps(world)))
        with sandbox.client() as ecs:
            ecs.update_service(cluster="ki-cluster", service="busy", forceNewDeployment=True)
        made = Workshop(folder, services, sandbox, proxy, address)
        made.prepare()
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/podman"\nrunroot = "{folder}/podman-run"\n'
        )
        if any(one.builder == PODMAN for one in SITUATIONS) and shutil.which("podman", path=PATH) is None:
            pytest.skip("podman is missing")
        made.buildx_home = buildx_home(folder / "home-buildx")
        yield made


@pytest.fixture(scope="module")
def ran(workshop, request):
    """Run those situations that the selected tests ask for, a few at a time."""
    mine = [item for item in request.session.items if item.fspath == request.fspath]
    asked = {item.callspec.params["number"] for item in mine if hasattr(item, "callspec")}
    if any("page" in item.name for item in mine):
        asked = set(range(len(SITUATIONS)))
    pool = ThreadPoolExecutor(max_workers=3)
    futures = {}
    for number in sorted(asked, key=lambda each: (SITUATIONS[each].alone, each)):
        before = list(futures.values()) if SITUATIONS[number].alone else []
        futures[number] = pool.submit(_run_after, before, workshop, number)
    yield lambda number: futures[number].result()
    pool.shutdown(cancel_futures=True)


def _run_after(before, workshop, number):
    wait(before)
    return workshop.run(number, SITUATIONS[number])


def _id(number):
    return f"{number}-{SITUATIONS[number].builder}-{SITUATIONS[number].told}"


@pytest.mark.parametrize("number", range(len(SITUATIONS)), ids=_id)
def test_it_is_told(workshop, ran, number):
    situation = SITUATIONS[number]
    exit_code, shown, result, summary = ran(number)
    assert exit_code == situation.exit_code, shown
    assert [one["code"] for one in result["diagnoses"]] == ([situation.code] if situation.code else []), shown
    for words in situation.says:
        assert workshop.filled(words) in shown
    for words in situation.never:
        for text in (shown,) if words.startswith("\n") else (shown, json.dumps(result), summary):
            assert words not in text
    assert "Traceback" not in shown
    assert PASSWORD not in re.sub("::add-mask::.*", "", shown)
    if situation.untouched:
        assert "building " not in shown
    if situation.code == "image-build" and result["diagnoses"][0]["evidence"]:
        evidence = result["diagnoses"][0]["evidence"]
        assert all("\x1b" not in line and len(line) <= 400 for line in evidence)
        assert inline_code(evidence[0], limit=1000) in summary, "the proof is code"
        assert shown.count("#1 [internal]") <= 1, "a build that failed is not built again"


def _sentence(text, workshop):
    """Return a reason without what differs from run to run."""
    for place, name in (
        (workshop.address, "REGISTRY"),
        (workshop.services.registry, "REGISTRY"),
        (workshop.other, "OTHER"),
    ):
        text = text.replace(place, name)
    text = re.sub(r"127\.0\.0\.1:\d{2,5}(?:->REGISTRY)?", "RUNNER", text)
    text = re.sub(r"\b(rag|new)-\d+\b", r"\1", text)
    text = re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", text).replace(SHA, "SHA")
    text = re.sub(
        r"(?:read|write) tcp RUNNER: (?:read|write): (?:connection reset by peer|broken pipe)", "reset", text
    )
    text = re.sub(r"\([\w-]{20,24}, IN_PROGRESS, began [^)]*\)", "(IN_PROGRESS)", text)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}\?[^ \"]*", "UPLOAD", text)
    text = text.replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= 220 else text[:219].rstrip() + "…"


def _codes(result):
    return ", ".join(f"`{each['code']}`" for each in result["diagnoses"])


def test_the_page_has_what_was_told(workshop, ran):
    rows = ["| Builder | Situation | What is said | Exit code | Diagnosis |", "|---|---|---|---|---|"]
    rows += [
        f"| {one.builder} | {one.told} | {_sentence(result['reason'], workshop)} | {code} | "
        f"{_codes(result)} |"
        for one, (code, _, result, _) in zip(SITUATIONS, map(ran, range(len(SITUATIONS))), strict=True)
    ]
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(MARKS[0])
    told = f"{before}{MARKS[0]}\n" + "\n".join(rows) + f"\n{MARKS[1]}{rest.partition(MARKS[1])[2]}"
    if os.environ.get("PUSH_TABLE") == "write":
        PAGE.write_text(told, encoding="utf-8")
    assert page == told
    assert len(SITUATIONS) >= 40


def test_no_output_takes_much_memory(workshop, ran):
    assert max(workshop.peaks, default=0) < MOST_MEGABYTES
