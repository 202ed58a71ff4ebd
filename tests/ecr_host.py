"""A deployment in a world where ECR's own host name leads to a registry here; run by test_ecr_host.

Started in a mount and a network namespace of its own: /etc/hosts says where the host is, port 443 is free.
Prints what came of it as one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from docker_services import PASSWORD, PATH, USERNAME, busybox_context, daemon, output, registry
from sandbox_process import clean_environment, sandbox_thread
from worlds import default_world

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
SHA = "0123456789abcdef0123456789abcdef01234567"


def main(folder: Path) -> None:
    """Make the world, deploy in it, tell."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {HOST}\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, env={"PATH": PATH})
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    output(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ecr"),
        *("-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(key), "-out", str(certificate)),
    )
    os.environ["SSL_CERT_FILE"] = str(certificate)
    world = default_world()
    world["registry"] = {"endpoint": f"https://{HOST}", "username": USERNAME, "password": PASSWORD}
    world["images"].append({"image": "ki-rag-api:*", "load_seconds": 30, "in_registry": False})
    busybox_context(folder / "context", dockerfile='COPY app.py /app.py\nENTRYPOINT ["/bin/sh"]\n')
    with (
        daemon(folder / "docker", environment={"SSL_CERT_FILE": str(certificate)}) as environment,
        registry(folder / "registry", port=443, tls=(certificate, key)),
        sandbox_thread(json.dumps(world)) as sandbox,
    ):
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "ecs_gpu_deploy", "deploy", "--cluster", "ki-cluster"),
                *("--service", "ki-rag-api", "--context", "context", "--result-file", "result.json"),
            ],
            cwd=folder,
            env=clean_environment(sandbox, **environment, GITHUB_SHA=SHA, RUNNER_TEMP=str(folder)),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        image = f"docker://{HOST}/ki-rag-api:{SHA}"
        inspected = subprocess.run(
            ["skopeo", "inspect", "--creds", f"{USERNAME}:{PASSWORD}", image],
            env={**environment, "SSL_CERT_FILE": str(certificate)},
            capture_output=True,
            text=True,
            check=False,
        )
    result_file = folder / "result.json"
    told = {
        "exit_code": ran.returncode,
        "shown": ran.stdout + ran.stderr,
        "result": json.loads(result_file.read_text()) if result_file.exists() else {},
        "digest": json.loads(inspected.stdout or "{}").get("Digest", inspected.stderr),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
