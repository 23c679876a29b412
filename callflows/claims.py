"""Who renders which piece of audio, so that publishers at work at the same time render none twice.

Owns the claims' rows and when one is forgotten. Blocks on the database; renders nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from callflows.models import RenderClaim

# A publisher claims as much as it renders in a second or two. Older, and the process that claimed has died.
STALE_AFTER = timedelta(seconds=30)


def take(hashes: Iterable[str], owner: str) -> set[str]:
    """Claim those that nobody else renders now; returns them."""
    # In one order, so that two publishers never wait for each other in a circle.
    wanted = sorted(hashes)
    with transaction.atomic():
        RenderClaim.objects.filter(sha256__in=wanted, claimed_at__lt=timezone.now() - STALE_AFTER).delete()
        claims = [RenderClaim(sha256=sha256, owner=owner) for sha256 in wanted]
        RenderClaim.objects.bulk_create(claims, ignore_conflicts=True)
    return set(RenderClaim.objects.filter(sha256__in=wanted, owner=owner).values_list("sha256", flat=True))


def give_back(owner: str) -> None:
    """Rendered and stored, or given up: others may look and take what is still missing."""
    RenderClaim.objects.filter(owner=owner).delete()
