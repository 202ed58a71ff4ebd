"""`sandbox serve` and `sandbox demo`."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.settings import unknown_name

_HELP = """usage: ecs-gpu-deploy sandbox serve|demo [flags]

  serve  Serve a local AWS on 127.0.0.1, for any client.
  demo   Show a plan, a good deployment and a broken one on it.

`ecs-gpu-deploy sandbox serve --help` and `ecs-gpu-deploy sandbox demo --help` list their flags."""


def main(arguments: Sequence[str]) -> int:
    """Run the sub-command; InvalidInput for any other, and where the `sandbox` extra is not installed."""
    what, *rest = arguments or ["--help"]
    if what in {"-h", "--help"}:
        print(_HELP)
        return 0
    if what not in {"serve", "demo"}:
        raise unknown_name("sandbox command", what, ("serve", "demo"), command="sandbox")
    try:
        import moto  # noqa: F401, PLC0415  (the extra is needed only here)
        import werkzeug  # noqa: F401, PLC0415
    except ImportError as error:
        raise InvalidInput(
            f"The sandbox needs the package {error.name}, which is not installed.",
            hint="Install the extra: pip install 'ecs-gpu-deploy[sandbox]'.",
        ) from error
    if what == "serve":
        from ecs_gpu_deploy.sandbox.http.serve import main as serve  # noqa: PLC0415

        return serve(rest)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what the demo started ends then, too
    if "--docker" in rest:
        from ecs_gpu_deploy.sandbox.demo_docker import main as demo  # noqa: PLC0415
    else:
        from ecs_gpu_deploy.sandbox.demo import main as demo  # noqa: PLC0415
    return demo(rest)
