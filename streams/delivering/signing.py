"""The headers of a webhook, by Standard Webhooks 1.0.0."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import SecretStr
from standardwebhooks import Webhook

__all__ = ["Signer"]


class Signer:
    """Signs by each of an endpoint's secrets, so that a receiver may know either while one changes.

    Parameters
    ----------
    secrets
        ``whsec_…``.

    Examples
    --------
    >>> signer = Signer([SecretStr("whsec_" + "c2VjcmV0" * 4)])
    >>> signer.headers("a1", 1_700_000_000.9, b"{}")["webhook-timestamp"]
    '1700000000'
    """

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        self._hooks = [Webhook(secret.get_secret_value()) for secret in secrets]

    def headers(self, webhook_id: str, at: float, body: bytes) -> dict[str, str]:
        """Return the headers of one attempt.

        Parameters
        ----------
        webhook_id
            The same for every attempt.
        at
            Of this attempt, seconds since 1970.
        body
            To the byte.
        """
        seconds = int(at)
        when, text = datetime.fromtimestamp(seconds, UTC), body.decode()
        return {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": " ".join(h.sign(webhook_id, when, text) for h in self._hooks),
        }
