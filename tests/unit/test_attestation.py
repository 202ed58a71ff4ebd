"""Who signed an image, as a verified attestation says it, and what is told where it is not who it must be."""

import pytest

from ecs_gpu_deploy.core.identity.attestation import ExpectedSigner, attested_by, may_pass, not_verified
from ecs_gpu_deploy.errors import InvalidInput, Refused

DIGEST = "sha256:" + "ab" * 32
WORKFLOW = "acme/rag/.github/workflows/build.yml"
GITHUB = "https://github.com"


def entry(**changed):
    """Return one entry of `gh attestation verify --format json`, with members changed."""
    certificate = {
        "certificateIssuer": "CN=sigstore-intermediate,O=sigstore.dev",
        "subjectAlternativeName": f"https://github.com/{WORKFLOW}@refs/heads/main",
        "issuer": "https://token.actions.githubusercontent.com",
        "sourceRepositoryURI": "https://github.com/acme/rag",
        "sourceRepositoryDigest": "0123456789abcdef0123456789abcdef01234567",
        "sourceRepositoryRef": "refs/heads/main",
        "runInvocationURI": "https://github.com/acme/rag/actions/runs/7/attempts/1",
    }
    result = {
        "mediaType": "application/vnd.dev.sigstore.verificationresult+json;version=0.1",
        "statement": {
            "predicateType": changed.pop("predicate", "https://slsa.dev/provenance/v1"),
            "subject": [{"name": "rag", "digest": {"sha256": changed.pop("digest", "ab" * 32)}}],
            "predicate": {},
        },
        "verifiedTimestamps": changed.pop("timestamps", [{"type": "Tlog"}]),
        "signature": {"certificate": {**certificate, **changed}},
    }
    return {"attestation": {"bundle": {}}, "verificationResult": result}


def verified(lines, *entries, server=GITHUB):
    expected = ExpectedSigner.from_lines(lines.splitlines())
    return attested_by(list(entries), expected, image="rag:1", digest=DIGEST, server=server)


@pytest.mark.parametrize(
    "wanted",
    [
        "acme/rag",
        "Acme/RAG",
        "https://github.com/acme/rag",
        WORKFLOW,
        f"{WORKFLOW}@refs/heads/main",
        f"{WORKFLOW}@refs/heads/*",
        f"acme/rag\n{WORKFLOW}@refs/heads/main",
    ],
)
def test_who_is_expected_is_found(wanted):
    found = verified(wanted, entry(digest="cd" * 32), entry())
    assert found.signer == f"{WORKFLOW}@refs/heads/main"
    assert str(found) == f"{found.signer} (built in acme/rag, commit 0123456789ab)"
    assert found.run.endswith("/runs/7/attempts/1")


def test_a_reusable_workflow_elsewhere_signs_what_the_repository_builds():
    signer = "acme/workflows/.github/workflows/docker.yml"
    signed = entry(subjectAlternativeName=f"https://github.com/{signer}@refs/tags/v3")
    assert verified(f"acme/rag\n{signer}@refs/tags/v*", signed).repository == "acme/rag"
    with pytest.raises(Refused, match="not by acme/rag"):
        verified("acme/rag", signed)


def test_the_name_of_an_older_gh_is_read_too():
    name = {"type": "URI", "value": f"https://github.com/{WORKFLOW}@refs/heads/main"}
    assert verified(WORKFLOW, entry(subjectAlternativeName=name)).signer.startswith(WORKFLOW)


def test_another_github_has_its_own_issuer_and_names():
    own = {
        "subjectAlternativeName": f"https://acme.ghe.com/{WORKFLOW}@refs/heads/main",
        "sourceRepositoryURI": "https://acme.ghe.com/acme/rag",
        "issuer": "https://token.actions.acme.ghe.com",
    }
    assert verified(WORKFLOW, entry(**own), server="https://acme.ghe.com/").repository == "acme/rag"
    with pytest.raises(Refused):
        verified(WORKFLOW, entry(**own))


@pytest.mark.parametrize(
    "changed",
    [
        {"digest": "cd" * 32},
        {"predicate": "https://spdx.dev/Document"},
        {"issuer": "https://accounts.google.com"},
        {"timestamps": []},
        {"subjectAlternativeName": f"https://github.com.evil.example/{WORKFLOW}@refs/heads/main"},
        {"sourceRepositoryURI": "https://evil.example/acme/rag"},
        {"subjectAlternativeName": 7},
    ],
    ids=["digest", "predicate", "issuer", "timestamp", "signer's host", "repository's host", "no text"],
)
def test_what_is_no_provenance_of_this_image_by_github_counts_for_nothing(changed):
    with pytest.raises(Refused, match="named no attestation of rag:1") as caught:
        verified("acme/rag", entry(**changed))
    assert caught.value.diagnosis_code == "attestation"


@pytest.mark.parametrize(
    ("wanted", "signer"),
    [
        (f"{WORKFLOW}@refs/heads/main", f"{WORKFLOW}@refs/heads/main\u200b"),
        (f"{WORKFLOW}@refs/heads/main", f"{WORKFLOW}@refs/heads/main "),
        (f"{WORKFLOW}@refs/heads/main", f"{WORKFLOW}@refs/heads/main@refs/heads/main"),
        (f"{WORKFLOW}@refs/heads/*", f"{WORKFLOW}@refs/tags/heads/x"),
        (WORKFLOW, f"{WORKFLOW}@x.yml@refs/heads/evil"),
        (WORKFLOW, f"{WORKFLOW}2@refs/heads/main"),
        (WORKFLOW, f"acme/rag-evil/{WORKFLOW.partition('rag/')[2]}@refs/heads/main"),
        ("acme/rag", f"acme/rag\u200b/{WORKFLOW.partition('rag/')[2]}@refs/heads/main"),
    ],
)
def test_a_signer_that_looks_like_the_expected_one_is_another(wanted, signer):
    with pytest.raises(Refused, match="is attested by "):
        verified(wanted, entry(subjectAlternativeName=f"https://github.com/{signer}"))


def test_a_long_name_is_compared_whole():
    ref = "refs/heads/" + "x" * 200
    assert verified(f"{WORKFLOW}@{ref}", entry(subjectAlternativeName=f"{GITHUB}/{WORKFLOW}@{ref}"))
    with pytest.raises(Refused):
        verified(f"{WORKFLOW}@{ref}", entry(subjectAlternativeName=f"{GITHUB}/{WORKFLOW}@{ref}y"))


def test_a_digest_of_another_shape_is_none():
    with pytest.raises(Refused, match="named no attestation"):
        verified("acme/rag", entry(digest=["ab" * 32]))


@pytest.mark.parametrize("results", [None, {}, [], [7, None, {}], [{"verificationResult": []}]])
def test_whatever_the_verifier_says_that_is_none(results):
    expected = ExpectedSigner.from_lines(["acme/rag"])
    with pytest.raises(Refused):
        attested_by(results, expected, image="rag:1", digest=DIGEST, server=GITHUB)


@pytest.mark.parametrize(
    "wanted",
    [
        f"{WORKFLOW}@refs/heads/release",
        "acme/rag/.github/workflows/other.yml",
        "acme/other",
        f"acme/other\n{WORKFLOW}",
        "evil/rag",
        "acme/ra",
        f"{WORKFLOW}@refs/heads/mai",
    ],
)
def test_another_signer_is_named_beside_who_was_expected(wanted):
    with pytest.raises(Refused, match=r"rag:1 is attested by acme/rag/\S+@refs/heads/main .*, not by "):
        verified(wanted, entry())


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["acme"], "neither repository nor workflow"),
        (["acme/rag", "acme/other"], "more than one"),
        ([WORKFLOW, WORKFLOW], "more than one"),
        (["acme/rag", WORKFLOW, "x/y"], "more than one"),
        ([f"{WORKFLOW}@main"], "neither repository nor workflow"),
        (["acme/rag@refs/heads/main"], "neither repository nor workflow"),
        ([f"github.com/{WORKFLOW}"], "neither repository nor workflow"),
        (["acme/rag/build.yml"], "neither repository nor workflow"),
        (["acme/rag/.github/workflows/../../build.yml"], "neither repository nor workflow"),
    ],
)
def test_what_is_no_signer_is_refused(lines, says):
    with pytest.raises(InvalidInput, match=says):
        ExpectedSigner.from_lines(lines)


def test_nobody_is_expected_where_nothing_is_given():
    assert ExpectedSigner.from_lines([]) is None


NONE = [
    "✗ No attestations found for subject sha256:ab",
    "Error: no attestations found for digest x in acme/rag",
]
WRONG = [
    "✗ Verification failed",
    'Error: verifying with issuer "sigstore.dev": failed to verify certificate identity: no matching '
    "CertificateIdentity found, last error: expected SAN value to match regex",
]


@pytest.mark.parametrize(
    ("code", "lines", "again", "kind", "says"),
    [
        (1, NONE, False, Refused, "has no attestation in acme/rag"),
        (1, ["Error: HTTP 404: Not Found (https://api.github.com/x)"], False, Refused, "has no attestation"),
        (1, WRONG, False, Refused, "is not attested by acme/rag: verifying with issuer"),
        (1, [], False, Refused, "is not attested by acme/rag: exit code 1"),
        (
            4,
            ["gh: To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN"],
            False,
            Refused,
            "token",
        ),
        (1, ["HTTP 401: Bad credentials"], False, Refused, "GitHub wants a token"),
        (1, ["HTTP 403: Resource not accessible by integration"], False, Refused, "attestations: read"),
        (1, ["Error: HTTP 502: Bad Gateway"], True, Refused, "was not verified in 3 attempts: HTTP 502"),
        (1, ["failed to initialize TUF client"], True, Refused, "roots of trust"),
        (1, ["dial tcp: lookup api.github.com: no such host"], True, Refused, "roots of trust"),
        (1, ['unknown command "attestation" for "gh"'], False, InvalidInput, "too old"),
        (1, ["unknown flag: --signer-workflow"], False, InvalidInput, "too old"),
    ],
)
def test_why_nothing_was_verified_is_told(code, lines, again, kind, says):
    expected = ExpectedSigner.from_lines(["acme/rag"])
    assert may_pass(code, lines) == again
    error = not_verified(code, lines, expected, image="rag:1", attempts=3)
    assert isinstance(error, kind)
    assert says in str(error)
