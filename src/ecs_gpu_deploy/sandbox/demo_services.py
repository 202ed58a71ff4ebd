"""What `sandbox demo --docker` deploys: a tiny service, or the example service with a small model.

`memory` is in MiB, `load_seconds` what a version may need until it is ready (deadlines follow from it); with
`bad_flags` the deployment of the third version wants more memory than there is.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

EXAMPLE_CODE = Path("src/rag_service")
_EXAMPLE_VERSION = '__version__ = "0.1.0"'
_NOT_COPIED = shutil.ignore_patterns(".venv", "__pycache__", "tests", "data", ".*_cache")

_SERVE = """#!/bin/sh
# Version VERSION
echo "loading the model"
HUNGRY
mkdir -p /tmp/www && echo "version VERSION" >/tmp/www/index.html
httpd -f -p "${PORT:-8000}" -h /tmp/www & server=$!
trap 'echo "SIGTERM: the last request is answered"; kill $server; exit 0' TERM
sleep LOAD & wait $!
echo ok >/tmp/www/health
echo "ready, version VERSION"
wait $server
"""
_HUNGRY = """echo "torch: allocating 256 MiB for the weights"
head -c 256m /dev/zero | tail -c 256m >/dev/null || { echo "the loader was killed"; exit 137; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyService:
    """A shell and a script: it loads for some seconds, answers, ends when told to, and is small."""

    memory: int = 64
    load_seconds: int = 6
    told: str = "each loads for 6 s"
    bad_told: str = "It wants 256 MiB, and its container may have 64: the kernel ends it."
    environment: Mapping[str, str] = field(default_factory=dict)
    build_args: Sequence[str] = ()
    build_network: str = ""
    check: Sequence[str] = ("CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1:8000/health")
    bad_flags: Sequence[str] = ()

    def write_version(self, context: Path, number: int) -> None:
        """Write a version from a static shell of this machine, or from the image busybox."""
        context.mkdir(exist_ok=True)
        script = _SERVE.replace("HUNGRY", _HUNGRY if number == 3 else "")
        script = script.replace("VERSION", str(number)).replace("LOAD", str(self.load_seconds))
        (context / "serve").write_text(script, encoding="utf-8")
        (context / "serve").chmod(0o755)
        shell = shutil.which("busybox")
        if shell is not None and os.uname().sysname == "Linux":
            shutil.copy(shell, context / "sh")
            base = (
                "FROM scratch\nCOPY sh /bin/sh\n"  # it finds its own commands without their names in a folder
            )
        else:
            base = "FROM busybox:stable\n"
        (context / "Dockerfile").write_text(
            f'{base}COPY serve /serve\nCMD ["/bin/sh", "/serve"]\n', encoding="utf-8"
        )

    def running(self, url: str) -> str:
        """Return its page."""
        return page(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleService:
    """The torch RAG service of `folder` on the CPU, its small model (all-MiniLM-L6-v2) baked in."""

    folder: Path
    build_args: Sequence[str] = ()
    build_network: str = ""
    memory: int = 1536
    load_seconds: int = 60
    told: str = "torch and the model all-MiniLM-L6-v2, on the CPU"
    bad_told: str = "Its revision gives it 128 MiB, which torch alone does not fit into: the kernel ends it."
    check: Sequence[str] = (
        "CMD",
        "python",
        "-c",
        "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=5)",
    )
    bad_flags: Sequence[str] = ("--memory", "128")
    environment: Mapping[str, str] = field(
        default_factory=lambda: {
            "AUTH": "off",
            # Without Docker's bridge tasks share the machine's ports.
            "METRICS_PORT": "0",
            "ALLOW_CPU": "1",
            "TORCH_THREADS": "1",
            "INDEX_URI": f"s3://{BUCKET}/index",
            "INDEX_POLL_SECONDS": "1",
        }
    )

    @classmethod
    def of(cls, folder: Path, build_args: Sequence[str], network: str = "") -> ExampleService | None:
        """Return the service in *folder*, None where there is another one or none."""
        code = folder / EXAMPLE_CODE / "__init__.py"
        if not (folder / "Dockerfile").is_file() or not code.is_file():
            return None
        if _EXAMPLE_VERSION not in code.read_text(encoding="utf-8"):
            return None
        return cls(folder=folder, build_args=("TORCH=cpu", *build_args), build_network=network)

    def write_version(self, context: Path, number: int) -> None:
        """Copy the service, with the number of the version in it."""
        shutil.rmtree(context, ignore_errors=True)
        shutil.copytree(self.folder, context, ignore=_NOT_COPIED)
        code = context / EXAMPLE_CODE / "__init__.py"
        text = code.read_text(encoding="utf-8")
        code.write_text(text.replace(_EXAMPLE_VERSION, f'__version__ = "0.{number}.0"'), encoding="utf-8")

    def running(self, url: str) -> str:
        """Return the version in its OpenAPI document."""
        described = page(f"{url}/openapi.json")
        return f"version {json.loads(described)['info']['version']}" if described else ""

    def documents(self) -> Mapping[str, bytes]:
        """Return the sample documents by name."""
        folder = self.folder / "documents"
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


DemoService = TinyService | ExampleService
BUCKET = "ki-rag-documents"
QUESTION = "When does the circuit breaker roll back?"


def page(url: str) -> str:
    """Return the page at *url*, "" where there is none."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return str(answer.read().decode()).strip()
    except OSError:
        return ""


def answer(url: str, question: str) -> str:
    """Ask the example service a question; return its answer, "" where there is none."""
    body = json.dumps({"question": question}).encode()
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{url}/ask", data=body, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as told:  # noqa: S310
            return " ".join(str(json.load(told)["answer"]).split())
    except OSError:
        return ""
