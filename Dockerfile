# The command line as an image, for GitLab CI, CodeBuild, Jenkins and others (docs/ci/).
#   docker build -t ecs-gpu-deploy .
# BASE is any Debian or Ubuntu with Python 3.11 or newer and its venv module; the default is the stage base, whose
# digest Dependabot raises. A package index of your own goes in as build secrets: pip (a pip.conf) and ca (its
# certificate, which the pip.conf names as /etc/pip-ca.pem).
ARG BASE=base

FROM python:3.13-slim@sha256:6771159cd4fa5d9bba1258caf0b82e6b73458c694d178ad97c5e925c2d0e1a91 AS base

FROM ${BASE} AS build
COPY locks/runtime.txt /build/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/pip-ca.pem \
    python3 -m venv /build/tools \
 && /build/tools/bin/pip install --quiet --no-cache-dir --no-compile --disable-pip-version-check \
      --require-hashes --only-binary :all: --target /opt/ecs-gpu-deploy/lib -r /build/runtime.txt \
 && rm -rf /opt/ecs-gpu-deploy/lib/bin
COPY src/ecs_gpu_deploy /opt/ecs-gpu-deploy/lib/ecs_gpu_deploy
# As the first process of a container a program gets no signal that it does not ask for: those that come while
# Python and boto3 start have to wait until it does.
RUN mkdir /opt/ecs-gpu-deploy/bin \
 && printf '%s\n' '#!/usr/bin/env -S python3 -P' \
      'import signal, sys' \
      'if sys.argv[1:2] and sys.argv[1] in {"deploy", "push", "rollback", "run-task", "watch", "history"}:' \
      '    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})' \
      'from runpy import run_module' \
      'run_module("ecs_gpu_deploy", run_name="__main__", alter_sys=True)' \
      > /opt/ecs-gpu-deploy/bin/ecs-gpu-deploy \
 && chmod 755 /opt/ecs-gpu-deploy/bin/ecs-gpu-deploy

FROM ${BASE}
LABEL org.opencontainers.image.title="ecs-gpu-deploy" \
      org.opencontainers.image.description="Deploys GPU and ML containers to Amazon ECS and tells the truth about it." \
      org.opencontainers.image.licenses="Apache-2.0"
# Jenkins aborts a step in a container with that container's own ps and kill.
RUN if ! { command -v ps && [ -x "$(command -v /bin/kill)" ]; } >/dev/null; then \
      apt-get update -qq && apt-get install -y -qq --no-install-recommends procps && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=build /opt/ecs-gpu-deploy /opt/ecs-gpu-deploy
ENV PATH=/opt/ecs-gpu-deploy/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/ecs-gpu-deploy/lib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
WORKDIR /work
USER 10001:10001
ENTRYPOINT ["ecs-gpu-deploy"]
