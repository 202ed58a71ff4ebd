"""What of the environment Docker gets: what it and its helpers read, and nothing that is a job's secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NEEDED: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|TEMP|TMP|TERM|NO_COLOR|PWD"
    # Windows
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|USERPROFILE|APPDATA|LOCALAPPDATA|PROGRAM(?:DATA|FILES)\w*"
    # where the daemon and the builders are, and how they are reached
    r"|DOCKER_(?:HOST|CONTEXT|TLS|TLS_VERIFY|CERT_PATH|API_VERSION|DEFAULT_PLATFORM|CLI_\w+|AUTH_CONFIG)"
    r"|DOCKER_CONTENT_TRUST(?:_SERVER)?|BUILDX_\w+|BUILDKIT_\w+|EXPERIMENTAL_BUILDKIT_\w+|SOURCE_DATE_EPOCH"
    r"|KUBECONFIG|KUBERNETES_\w+|SSH_AUTH_SOCK|XDG_\w+|OTEL_\w+"
    r"|CONTAINER_(?:HOST|CONNECTION|SSHKEY)|CONTAINERS_\w+|STORAGE_\w+|BUILDAH_\w+|REGISTRY_AUTH_FILE"
    # proxies and certificates
    r"|(?:HTTPS?|NO|ALL|FTP)_PROXY|SSL_CERT_(?:FILE|DIR)"
    # credential helpers: pass, secretservice, gcloud, Azure, ECR's own settings
    r"|GNUPGHOME|PASSWORD_STORE_DIR|DBUS_SESSION_BUS_ADDRESS|DISPLAY|GOOGLE_APPLICATION_CREDENTIALS|CLOUDSDK_\w+"
    r"|ACR_\w+|AWS_ECR_\w+",
    re.IGNORECASE,
)
_AWS: Final = re.compile(
    r"AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|PROFILE|REGION|DEFAULT_REGION|CONFIG_FILE"
    r"|SHARED_CREDENTIALS_FILE|ROLE_ARN|ROLE_SESSION_NAME|WEB_IDENTITY_TOKEN_FILE|CA_BUNDLE|STS_\w+|SDK_\w+"
    r"|CONTAINER_\w+|EC2_METADATA_\w+)"
)
_GITHUB_CACHE: Final = re.compile(
    r"ACTIONS_(?:CACHE_URL|CACHE_SERVICE_V2|RESULTS_URL|RUNTIME_TOKEN|RUNTIME_URL)"
)


def docker_environment(
    environment: Mapping[str, str], *, needs_aws: bool, caches: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return what of *environment* Docker gets.

    *needs_aws*: a credential helper of the user's asks AWS. *caches* are the builder's cache backends: `gha`
    needs GitHub's cache token, `s3` AWS's keys (Docker Docs, "Cache storage backends").
    """
    keeps = [_NEEDED]
    if needs_aws or any("type=s3" in one for one in caches):
        keeps.append(_AWS)
    if any("type=gha" in one for one in caches):
        keeps.append(_GITHUB_CACHE)
    return {name: value for name, value in environment.items() if any(each.fullmatch(name) for each in keeps)}
