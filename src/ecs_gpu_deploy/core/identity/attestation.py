"""Who must have made an image, and what a verified attestation says of who did.

Source: GitHub Docs, "Using artifact attestations to establish provenance for builds"; the manual of `gh
attestation verify` in github.com/cli/cli (which members of its JSON no workflow can forge); "Fulcio OID
information" in github.com/sigstore/fulcio.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, Self
from urllib.parse import urlsplit

from ecs_gpu_deploy.core.definition.secret_text import hidden
from ecs_gpu_deploy.core.text import plain
from ecs_gpu_deploy.errors import DeployError, InvalidInput, Refused

CODE: Final = "attestation"
"""Code of the diagnosis of an image that is not attested as it must be."""
PROVENANCE: Final = "https://slsa.dev/provenance/v1"
HOW_TO_ATTEST: Final = (
    "Let the job that pushes the image attest it: actions/attest-build-provenance with the outputs image and "
    "image-digest of push, and the permissions id-token and attestations: write (docs/supply-chain.md)."
)
_WRITTEN: Final = "Write owner/repo, or the workflow: owner/repo/.github/workflows/build.yml@refs/heads/main."
_SIGNER: Final = re.compile(
    r"(?:https://(?P<host>[^/\s]+)/)?(?P<repository>[\w.-]+/[\w.-]+)"
    r"(?:/(?P<path>\.github/workflows/[^@/\s]+\.ya?ml)(?:@(?P<ref>refs/\S+))?)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedSigner:
    """Who must have made an image: a run of `repository` ("" for that of the signer).

    `workflow` is owner/repo/path of the one that signs, "" for any of the repository; `ref` is where it must
    come from, with * for any end, "" for anywhere. `hosts` are those that were written before a name.
    """

    repository: str
    workflow: str = ""
    ref: str = ""
    hosts: tuple[str, ...] = ()

    @classmethod
    def from_lines(cls, lines: Sequence[str]) -> Self | None:
        """Read require-attestation; None where it is not given. InvalidInput for what is neither form."""
        repository = workflow = ref = ""
        hosts: list[str] = []
        for line in lines:
            found = _SIGNER.fullmatch(line.strip())
            if found is None:
                shown = plain(hidden(line), limit=100)
                raise InvalidInput(
                    f"require-attestation is {shown!r}, neither repository nor workflow.", hint=_WRITTEN
                )
            if (workflow if found["path"] else repository) or len(lines) > 2:
                raise InvalidInput(
                    "require-attestation names more than one repository and one workflow.",
                    hint="Two lines are the repository that builds, and the workflow elsewhere that signs.",
                )
            hosts += [found["host"].lower()] if found["host"] else []
            if found["path"]:
                workflow, ref = f"{found['repository']}/{found['path']}", found["ref"] or ""
            else:
                repository = found["repository"]
        if not lines:
            return None
        repository = repository or "/".join(workflow.split("/")[:2])
        return cls(repository=repository, workflow=workflow, ref=ref, hosts=tuple(hosts))

    def check_server(self, server: str) -> None:
        """Raise InvalidInput where a name is of another host than *server*: who has it there is meant."""
        here = urlsplit(server).netloc.lower()
        if other := next((host for host in self.hosts if host != here), ""):
            raise InvalidInput(
                f"require-attestation names {plain(other, limit=100)}, not {here}, which is asked.",
                hint=_WRITTEN,
            )

    def __str__(self) -> str:
        """Say who it is."""
        return f"{self.workflow or self.repository}{f'@{self.ref}' if self.ref else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """What the certificate of a verified attestation says, to the letter: who signed, of what commit and run.

    A branch may be called as another with an invisible character in it: only what is shown is made plain.
    """

    signer: str
    repository: str
    commit: str = ""
    run: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        commit = f", commit {plain(self.commit[:12])}" if self.commit else ""
        return f"{plain(self.signer, limit=200)} (built in {plain(self.repository, limit=100)}{commit})"


def attested_by(
    results: object, expected: ExpectedSigner, *, image: str, digest: str, server: str
) -> Attested:
    """Return what the verified attestations of the image say, of the first that is as *expected*.

    *results* is the JSON of `gh attestation verify --format json`. Raise Refused where none is: what verified
    them was told the same, and is not relied upon.
    """
    entries = results if isinstance(results, list) else []
    found = [one for entry in entries if (one := _attested(entry, digest=digest, server=server))]
    for one in found:
        if _is_expected(one, expected):
            return one
    others = "; ".join(dict.fromkeys(str(one) for one in found[:3]))
    if others:
        raise refused(f"{image} is attested by {others}, not by {expected}.", hint=_check_signer(expected))
    raise refused(f"The verifier named no attestation of {image} ({digest[:19]}…).", hint=HOW_TO_ATTEST)


def _check_signer(expected: ExpectedSigner) -> str:
    return f"Deploy an image that {expected} built, or correct require-attestation."


def _attested(entry: object, *, digest: str, server: str) -> Attested | None:
    """Return what one entry says; None where it is no provenance of the digest, signed by GitHub's runs."""
    result = _in(entry, "verificationResult")
    certificate = _in(_in(result, "signature"), "certificate")
    statement = _in(result, "statement")
    subjects = statement.get("subject")
    digests = [_in(each, "digest").get("sha256") for each in (subjects if isinstance(subjects, list) else ())]
    host = server.rstrip("/") + "/"
    issuer = f"https://token.actions.{host.split('//')[-1].rstrip('/')}"
    if host == "https://github.com/":
        issuer = "https://token.actions.githubusercontent.com"
    name = certificate.get("subjectAlternativeName")
    signer = str(_in({"name": name}, "name").get("value", "") if isinstance(name, Mapping) else name or "")
    repository = str(certificate.get("sourceRepositoryURI", ""))
    if (
        statement.get("predicateType") != PROVENANCE
        or digest.removeprefix("sha256:") not in digests
        or certificate.get("issuer") != issuer
        or not result.get("verifiedTimestamps")
        or not signer.startswith(host)
        or not repository.startswith(host)
    ):
        return None
    return Attested(
        signer=signer.removeprefix(host),
        repository=repository.removeprefix(host),
        commit=str(certificate.get("sourceRepositoryDigest", "")),
        run=plain(str(certificate.get("runInvocationURI", "")), limit=200),
    )


def _in(value: object, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _is_expected(one: Attested, expected: ExpectedSigner) -> bool:
    workflow, _, ref = one.signer.partition("@")
    owner, _, path = _parts(workflow)
    if one.repository.lower() != expected.repository.lower():
        return False
    if not expected.workflow:
        return owner.lower() == expected.repository.lower()
    wanted, _, wanted_path = _parts(expected.workflow)
    is_same = owner.lower() == wanted.lower() and path == wanted_path and ref.startswith("refs/")
    return is_same and (not expected.ref or fnmatchcase(ref, expected.ref.replace("[", "[[]")))


def _parts(workflow: str) -> tuple[str, str, str]:
    owner, _, rest = workflow.partition("/")
    name, slash, path = rest.partition("/")
    return f"{owner}/{name}", slash, path


_TOO_OLD: Final = re.compile(r"unknown (?:command|flag|shorthand)", re.IGNORECASE)
_NONE: Final = re.compile(r"no attestations? (?:were )?found|HTTP 404", re.IGNORECASE)
_LOGGED_OUT: Final = re.compile(r"GH_TOKEN|gh auth login|HTTP 401|Bad credentials", re.IGNORECASE)
_DENIED: Final = re.compile(r"HTTP 403|not accessible by", re.IGNORECASE)
_UNREACHED: Final = re.compile(
    r"timeout|timed out|connection re(?:set|fused)|no such host|network is unreachable|unexpected EOF"
    r"|TLS handshake|HTTP (?:429|5\d\d)|server misbehaving"
    r"|failed to (?:get|fetch|initialize)[^\n]*(?:TUF|trusted root)",
    re.IGNORECASE,
)
_NEEDS_AUTHENTICATION: Final = 4
"""Exit code of gh without a token (GitHub CLI manual, "gh help exit-codes")."""


def may_pass(code: int, lines: Iterable[str]) -> bool:
    """Say whether a verifier that ended with *code* and these lines may end otherwise at the next attempt."""
    text = "\n".join(lines)
    known = code == _NEEDS_AUTHENTICATION or any(each.search(text) for each in (_NONE, _DENIED, _LOGGED_OUT))
    return not known and _UNREACHED.search(text) is not None


def not_verified(
    code: int, lines: Sequence[str], expected: ExpectedSigner, *, image: str, attempts: int
) -> DeployError:
    """Return the error for `gh attestation verify` that ended with *code*, having printed *lines*."""
    text = "\n".join(lines)
    proof = tuple(plain(line, limit=400) for line in lines if line.strip())[-6:]
    last = proof[-1].removeprefix("Error: ") if proof else f"exit code {code}"
    if _TOO_OLD.search(text):
        return InvalidInput(
            "The GitHub CLI here is too old to verify attestations.", hint="Install gh 2.67 or newer."
        )
    if code == _NEEDS_AUTHENTICATION or _LOGGED_OUT.search(text):
        return refused(
            f"The attestation of {image} was not verified: GitHub wants a token.",
            hint="Give the job permissions: attestations: read (the action passes its token on), or set "
            "github-token.",
            evidence=proof,
        )
    if _DENIED.search(text):
        return refused(
            f"The attestation of {image} was not verified: the token may not read attestations of "
            f"{expected.repository}.",
            hint="Give the job permissions: attestations: read; for another repository's, a github-token of "
            "a GitHub App with the permission attestations: read there.",
            evidence=proof,
        )
    if _NONE.search(text):
        return refused(
            f"{image} has no attestation in {expected.repository}.", hint=HOW_TO_ATTEST, evidence=proof
        )
    if _UNREACHED.search(text):
        return refused(
            f"The attestation of {image} was not verified in {attempts} attempts: {last}",
            hint="This runner must reach GitHub's API and the roots of trust (tuf-repo-cdn.sigstore.dev, "
            "tuf-repo.github.com).",
            evidence=proof,
        )
    return refused(
        f"{image} is not attested by {expected}: {last}", hint=_check_signer(expected), evidence=proof
    )


def refused(message: str, *, hint: str, evidence: tuple[str, ...] = ()) -> Refused:
    """Return the refusal of an image that is not attested as it must be."""
    return Refused(message, hint=hint, diagnosis_code=CODE, evidence=evidence)
