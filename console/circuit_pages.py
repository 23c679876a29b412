"""The page of all moves of circuits."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.circuit_panel import NEWEST_FIRST, move_rows
from console.models import CircuitMove
from console.views import PAGE, watcher


@require_GET
@watcher
def moves(request: HttpRequest) -> HttpResponse:
    page = Paginator(CircuitMove.objects.order_by(*NEWEST_FIRST), PAGE).get_page(request.GET.get("page"))
    return render(request, "console/moves.html", {"page": page, "rows": move_rows(page.object_list)})
