# The command line as an image, for GitLab CI, CodeBuild, Jenkins and others (docs/ci/).
#   docker build -t ecs-gpu-deploy .
# BASE is any image with Python 3.11 or newer and its venv module. A package index of your own goes in as build
# secrets: pip (a pip.conf) and ca (its certificate, which the pip.conf names as /etc/pip-ca.pem).
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
COPY locks/runtime.txt /build/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/etc/pip-ca.pem \
    python3 -m venv /build/tools \
 && /build/tools/bin/pip install --quiet --no-cache-dir --no-compile --disable-pip-version-check \
      --require-hashes --only-binary :all: --target /opt/ecs-gpu-deploy/lib -r /build/runtime.txt \
 && rm -rf /opt/ecs-gpu-deploy/lib/bin
COPY src/ecs_gpu_deploy /opt/ecs-gpu-deploy/lib/ecs_gpu_deploy
RUN mkdir /opt/ecs-gpu-deploy/bin \
 && printf '#!/bin/sh\nexec python3 -P -m ecs_gpu_deploy "$@"\n' > /opt/ecs-gpu-deploy/bin/ecs-gpu-deploy \
 && chmod 755 /opt/ecs-gpu-deploy/bin/ecs-gpu-deploy

FROM ${BASE}
LABEL org.opencontainers.image.title="ecs-gpu-deploy" \
      org.opencontainers.image.description="Deploys GPU and ML containers to Amazon ECS and tells the truth about it." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/ecs-gpu-deploy /opt/ecs-gpu-deploy
ENV PATH=/opt/ecs-gpu-deploy/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/ecs-gpu-deploy/lib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
WORKDIR /work
USER 10001:10001
ENTRYPOINT ["ecs-gpu-deploy"]
