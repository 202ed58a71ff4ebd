"""Healthy lines are named by nothing, and in a whole log the cause comes before what it broke."""

from pathlib import Path

import pytest

from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of

HEALTHY = (Path(__file__).parents[1] / "data" / "healthy.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("line", HEALTHY)
def test_a_healthy_line_has_no_cause(line: str) -> None:
    assert [found.code for found in explanation_of(line)] == ["unknown"]


def test_a_healthy_log_has_no_cause() -> None:
    assert [found.code for found in explanation_of("\n".join(HEALTHY))] == ["unknown"]


WHOLE_LOGS = {
    "cuda-driver-mismatch": """
INFO 07-30 17:39:52 api_server.py:166] Multiprocessing frontend to use ipc:///tmp/652c9ad3 for IPC Path.
Traceback (most recent call last):
  File "/app/serve.py", line 12, in <module>
    torch.cuda.init()
RuntimeError: The NVIDIA driver on your system is too old (found version 11040).
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
Essential container in task exited
(service api) (port 8000) is unhealthy in (target-group tg) due to (reason Request timed out)
""",
    "cuda-out-of-memory": """
(EngineCore_0 pid=41) ERROR 10-15 08:32:29 [core.py:708] EngineCore failed to start.
(EngineCore_0 pid=41) ERROR 10-15 08:32:29 [core.py:708] Traceback (most recent call last):
(EngineCore_0 pid=41) ERROR 10-15 08:32:29 [core.py:708] torch.OutOfMemoryError: CUDA out of memory. Tried to
RuntimeError: Engine core initialization failed. See root cause above.
api-1 exited with code 1
(service api) (deployment ecs-svc/1) deployment failed: tasks failed to start.
""",
    "shared-memory": """
NCCL WARN Error while creating shared memory segment /dev/shm/nccl-5bJ1vJ (size 9637888)
torch.distributed.DistBackendError: NCCL error, unhandled system error
Exit code: 1
""",
    "gpu-driver": """
CannotStartContainerError: Error response from daemon: OCI runtime create failed:
nvidia-container-cli: initialization error: nml error: driver not loaded: unknown
(service api) (task 0123456789abcdef0123456789abcdef) failed container health checks.
""",
    "image-not-found": """
(service api) has started 1 tasks: (task 0123456789abcdef0123456789abcdef).
CannotPullContainerError: Error response from daemon: manifest for example:9 not found: manifest unknown
(service api) (deployment ecs-svc/1) deployment failed: tasks failed to start.
(service api) rolling back to deployment ecs-svc/9015413324295259653.
""",
    "command-not-found": """
nginx_1 | standard_init_linux.go:211: exec user process caused "no such file or directory"
nginx_1 exited with code 127
Error: Essential container in task exited
""",
    "out-of-memory": """
[1] [ERROR] Worker (pid:54) was sent SIGKILL! Perhaps out of memory?
[1] [INFO] Worker exiting (pid: 54)
Essential container in task exited. Exit code: 137
Health checks failed
""",
    "secret-access": """
ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: \
unable to retrieve secret from asm: AccessDeniedException
(service api) is not able to consistently start tasks successfully.
""",
}


@pytest.mark.parametrize(("code", "log"), WHOLE_LOGS.items(), ids=WHOLE_LOGS.keys())
def test_the_cause_comes_before_what_it_broke(code: str, log: str) -> None:
    assert explanation_of(log)[0].code == code
