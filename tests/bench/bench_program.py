"""How quick and how light the program is: ratios within one run, on the sandbox.

start   program start to its first call to AWS, over a bare `boto3.client("ecs")` import-and-create
memory  peak resident memory of a whole deploy in MB, over that of the bare client
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from first_call import refusing_aws

from sandbox_process import clean_environment, sandbox_process

ROUNDS = 9
BARE = "import boto3; boto3.client('ecs')"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api:good"


def seconds_of_bare_client(environment):
    began = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", BARE], env=environment, check=True)
    return time.perf_counter() - began


def seconds_to_first_call(environment):
    """Return the time from the start of the program to its first request, which is refused."""
    with refusing_aws() as (address, arrived):
        there = {**environment, "AWS_ENDPOINT_URL": address}
        there.pop("ECS_GPU_DEPLOY_CLOCK")
        began = time.perf_counter()
        command = ["-I", "-m", "ecs_gpu_deploy", "deploy", "--cluster=c", "--service=s", "--image=a:1"]
        subprocess.run([sys.executable, *command], env=there, stderr=subprocess.DEVNULL, check=False)
    return arrived[0] - began


def peak_megabytes(command, environment):
    """Return the peak resident memory of a process in MB (Linux: ru_maxrss is in KiB)."""
    process = subprocess.Popen([sys.executable, "-I", *command], env=environment, stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_maxrss * 1024 / 1e6


def main():
    with sandbox_process() as sandbox, tempfile.TemporaryDirectory() as folder:
        environment = clean_environment(sandbox)
        bare = statistics.median(seconds_of_bare_client(environment) for _ in range(ROUNDS))
        ours = statistics.median(seconds_to_first_call(environment) for _ in range(ROUNDS))
        print(
            f"start: {ours:.3f} s to the first call, bare client {bare:.3f} s, {ours / bare:.2f}× (limit 2)"
        )
        deploy = ["-m", "ecs_gpu_deploy", "deploy", "--cluster=ki-cluster", "--service=ki-rag-api"]
        result = f"--result-file={folder}/r.json"
        memory = peak_megabytes([*deploy, f"--image={IMAGE}", result], environment)
        least = peak_megabytes(["-c", BARE], environment)
        print(f"memory: {memory:.0f} MB (limit 75), bare client {least:.0f} MB, {memory / least:.2f}×")


if __name__ == "__main__":
    main()
