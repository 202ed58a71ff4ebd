"""`python -m ecs_gpu_deploy` and the console script `ecs-gpu-deploy`: errors become exit codes here."""

from __future__ import annotations

import sys

from ecs_gpu_deploy.cli import main

if __name__ == "__main__":
    sys.exit(main())
