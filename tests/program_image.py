"""The top-level Dockerfile built for real, on a base that debootstrap makes, as none can be pulled."""

import os
import re
import subprocess
import sys
from pathlib import Path

from docker_services import PATH, output

ROOT = Path(__file__).resolve().parents[1]
SUITE = "bookworm"


def build_program_image(folder: Path, image: str, environment: dict[str, str]) -> None:
    """Build the program's image under the name *image*; *folder* is for what that needs."""
    output(
        *("debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates,procps"),
        *(SUITE, str(folder / "base")),
        env={**os.environ, "PATH": PATH},
    )
    with subprocess.Popen(["tar", "-C", folder / "base", "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(
            ["docker", "import", "-", "base:1"],
            stdin=tar.stdout,
            stdout=subprocess.DEVNULL,
            env=environment,
            check=True,
        )
    output(
        *("docker", "build", "--progress", "plain", "--network", "host"),
        *("--build-arg", "BASE=base:1", "--tag", image, *_package_index(folder), str(ROOT)),
        env={**environment, "DOCKER_BUILDKIT": "1"},
    )


def _package_index(folder: Path) -> list[str]:
    """Return the flags that hand this machine's package index to the build, as the Dockerfile's head says."""
    listed = output(sys.executable, "-m", "pip", "config", "list")
    settings = dict(re.findall(r"^(?:global|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE))
    flags = []
    if certificate := settings.pop("cert", ""):
        settings["cert"] = "/etc/pip-ca.pem"
        flags += ["--secret", f"id=ca,src={certificate}"]
    of_this_machine = {"find-links", "constraint", "build-constraint"}  # folders and files of its own
    lines = [f"{name} = {value}" for name, value in settings.items() if name not in of_this_machine]
    file = folder / "pip.conf"
    file.write_text("\n".join(["[global]", *lines, ""]))
    return [*flags, "--secret", f"id=pip,src={file}"]
