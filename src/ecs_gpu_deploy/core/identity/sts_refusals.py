"""What it means when STS gives no credentials: the error that ends the search.

Sources: AWS STS API Reference, "AssumeRoleWithWebIdentity" and "AssumeRole", their errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.core.identity.claims import GITHUB_ISSUER, refusal_hint, told
from ecs_gpu_deploy.errors import DeployError, InvalidInput, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class StsError:
    """STS's error: its code and its text."""

    code: str
    text: str


def web_identity_refusal(
    error: StsError, role: str, claims: Mapping[str, Any], *, duration: int, now: float
) -> DeployError:
    """Return the error for *role* (an ARN): what STS said, what the token says, what would admit it.

    Source: STS API Reference, AssumeRoleWithWebIdentity, "Errors".
    """
    code, text, audience = error.code, error.text, claims.get("aud", "")
    partition, account = role.split(":")[1], role.split(":")[4]
    issuer = str(claims.get("iss", "")).removeprefix("https://") or GITHUB_ISSUER
    what, hint = f"STS refused the role {role} ({code}: {text.rstrip('.')}).", ""
    diagnosis_code = "role-trust"
    if code in {"AccessDenied", "AccessDeniedException"}:
        what = f"STS does not let this job assume the role {role} ({text.rstrip('.')})."
        hint = refusal_hint(claims)
    elif code == "IDPCommunicationError" or "retrieve verification key" in text.lower():
        what = f"STS could not ask {issuer} whether the job's token is genuine ({code}: {text.rstrip('.')})."
        hint = "It is the network between AWS and the issuer: run the job again, and see githubstatus.com."
        diagnosis_code = "credentials-expired"
    elif "no openidconnect provider" in text.lower():
        what = f"The account {account} has no identity provider for {issuer}."
        hint = (
            f"Create it once: aws iam create-open-id-connect-provider --url https://{issuer} "
            f"--client-id-list {audience}\nAnd check that {account} is the account that is meant."
        )
    elif "audience" in text.lower():
        what = f"The identity provider of the role {role} does not accept the audience {audience!r}."
        hint = (
            "Set the input audience to one that it has, or add this one: aws iam "
            f"add-client-id-to-open-id-connect-provider --client-id {audience} "
            f"--open-id-connect-provider-arn arn:{partition}:iam::{account}:oidc-provider/{issuer}"
        )
    elif code in {"ExpiredTokenException", "ExpiredToken"}:
        diagnosis_code = "credentials-expired"
        skew = int(now - float(claims.get("iat", now)))
        what = f"STS says that GitHub's token has expired ({text.rstrip('.')}), though it was just issued."
        hint = (
            f"The clock of this runner is {abs(skew)} s {'ahead of' if skew > 0 else 'behind'} GitHub's: "
            "a self-hosted runner needs NTP."
            if abs(skew) > 60
            else "Run the job again; on a self-hosted runner check that requests to STS are not held back."
        )
    elif code == "ValidationError" and "duration" in text.lower():
        return InvalidInput(
            f"STS refuses role-duration {duration} s for {role}: {text.rstrip('.')}.",
            hint="Leave role-duration out: credentials of one hour renew themselves. Or raise the role's "
            "maximum session duration.",
        )
    elif code in {"MalformedPolicyDocument", "PackedPolicyTooLarge"}:
        return InvalidInput(f"STS refuses role-session-policy: {text}", hint="Check role-session-policy.")
    elif code == "RegionDisabledException":
        hint = "Activate STS for the region in the account's settings, or choose another region."
    elif claims:
        hint = f"The job's token says: {told(claims)}."
    return Refused(what, hint=hint, diagnosis_code=diagnosis_code)


def chain_refusal(error: StsError, *, role: str) -> DeployError:
    """Return the error for a *role* (an ARN) of a chain (STS API Reference, AssumeRole, "Errors")."""
    code, text = error.code, error.text
    if code == "ValidationError" and "duration" in text.lower():
        return InvalidInput(
            f"STS refuses the duration for {role}: {text}", hint="A role of a chain has at most one hour."
        )
    hint = "The role before must be allowed sts:AssumeRole on it, and its trust policy must name that role."
    if "external" in text.lower() or code in {"AccessDenied", "AccessDeniedException"}:
        hint += " Where the trust policy asks for sts:ExternalId, set role-external-id."
    return Refused(
        f"STS refused the role {role} of role-chain ({code}: {text.rstrip('.')}).",
        hint=hint,
        diagnosis_code="role-trust",
    )
