"""The image goes to ECR's own host name, over TLS, as it would on AWS; only /etc/hosts knows better."""

import json
import subprocess
import sys
from pathlib import Path

from docker_services import PASSWORD, require_docker
from ecr_host import HOST, SHA

SCRIPT = Path(__file__).resolve().parents[1] / "ecr_host.py"


def test_an_image_reaches_ecr_under_its_own_name(tmp_path_factory):
    require_docker()
    folder = tmp_path_factory.mktemp("ecr")  # short: the path of a socket has 107 characters
    ran = subprocess.run(
        ["unshare", "--mount", "--net", sys.executable, SCRIPT, folder],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["exit_code"] == 0, told["shown"]
    assert told["result"]["image"] == f"{HOST}/ki-rag-api:{SHA}"
    assert told["result"]["image_digest"] == told["digest"]
    assert told["digest"].startswith("sha256:")
    assert PASSWORD not in told["shown"]
