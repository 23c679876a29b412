"""What the migrations leave behind besides tables."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission

pytestmark = pytest.mark.django_db


def may(group: str) -> set[str]:
    of_console = Permission.objects.filter(group__name=group, content_type__app_label="console")
    return set(of_console.values_list("codename", flat=True))


def test_the_groups_may_what_their_people_need() -> None:
    views = {"view_call", "view_turn", "view_incident", "view_journalline", "view_operatoraction"}
    assert may("supervisors") == views
    ops = {"toggle_circuit", "break_engine", "see_channels", "place_test_call", "run_drill"}
    assert may("ops") == views | ops
    assert may("admins") == views | ops | {"see_caller"}
