"""A stand-in of `gh attestation verify`, by its manual: flags, exit codes, what it prints, its JSON.

It verifies no signature: which digest was signed by whom stands in attested.json beside it, digest → signer.
It keeps what it was asked in asked.json, and fails as often as lines of failures.txt say before it answers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRIPT = r"""#!{python}
import argparse, hashlib, json, os, re, sys
from pathlib import Path

here = Path(__file__).parent
parser = argparse.ArgumentParser(prog="gh")
parser.add_argument("words", nargs=2)
parser.add_argument("artifact")
for flag in ("--repo", "--predicate-type", "--format", "--signer-workflow"):
    parser.add_argument(flag)
given = parser.parse_args()
assert given.words == ["attestation", "verify"], given
with (here / "asked.json").open("a") as file:
    file.write(json.dumps({{"argv": sys.argv[1:], "environment": dict(os.environ)}}) + "\n")


def fail(*lines, code=1):
    print(*lines, sep="\n", file=sys.stderr)
    sys.exit(code)


if not os.environ.get("GH_TOKEN"):
    fail("gh: To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable.", code=4)
failures = here / "failures.txt"
left = failures.read_text().splitlines() if failures.exists() else []
if left:
    failures.write_text("\n".join(left[1:]))
    fail(left[0])
digest = hashlib.sha256(Path(given.artifact).read_bytes()).hexdigest()
print(f"Loaded digest sha256:{{digest}} for file://{{given.artifact}}", file=sys.stderr)
signer = json.loads((here / "attested.json").read_text()).get(f"sha256:{{digest}}")
if signer is None:
    fail(f"✗ No attestations found for subject sha256:{{digest}}",
         f"Error: no attestations found for digest sha256:{{digest}} in {{given.repo}}")
san, repository = f"https://github.com/{{signer}}", "https://github.com/" + "/".join(signer.split("/")[:2])
wanted = f"^https://{{given.signer_workflow}}"
if not given.signer_workflow:
    wanted = f"(?i)^https://github.com/{{given.repo}}/"
if not re.match(wanted, san) or repository != f"https://github.com/{{given.repo}}":
    fail("✗ Verification failed", "", 'Error: verifying with issuer "sigstore.dev": failed to verify '
         "certificate identity: no matching CertificateIdentity found, last error: expected SAN value to "
         f'match regex "{{wanted}}", got "{{san}}"')
print("✓ Verification succeeded!", file=sys.stderr)
print(json.dumps([{{
    "attestation": {{"bundle": {{}}, "bundle_url": ""}},
    "verificationResult": {{
        "mediaType": "application/vnd.dev.sigstore.verificationresult+json;version=0.1",
        "signature": {{"certificate": {{
            "certificateIssuer": "CN=sigstore-intermediate,O=sigstore.dev",
            "subjectAlternativeName": san,
            "issuer": "https://token.actions.githubusercontent.com",
            "buildSignerURI": san,
            "runnerEnvironment": "github-hosted",
            "sourceRepositoryURI": repository,
            "sourceRepositoryDigest": "0123456789abcdef0123456789abcdef01234567",
            "sourceRepositoryRef": "refs/heads/main",
            "runInvocationURI": f"{{repository}}/actions/runs/7/attempts/1",
        }}}},
        "verifiedTimestamps": [{{"type": "Tlog", "uri": "https://rekor.sigstore.dev"}}],
        "statement": {{
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{{"name": "rag", "digest": {{"sha256": digest}}}}],
            "predicateType": given.predicate_type,
            "predicate": {{}},
        }},
    }},
}}]))
"""


def install_gh(folder: Path, attested: Mapping[str, str]) -> Path:
    """Put the stand-in into *folder*, where `gh` is then found; *attested* maps digests to signers."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "gh"
    script.write_text(SCRIPT.format(python=sys.executable), encoding="utf-8")
    script.chmod(0o755)
    (folder / "attested.json").write_text(json.dumps(attested), encoding="utf-8")
    return folder


def asked_of_gh(folder: Path) -> list[Mapping[str, Any]]:
    """Return what the stand-in in *folder* was asked so far: argv and environment."""
    file = folder / "asked.json"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
