"""The console's addresses."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from django_prometheus.exports import ExportToDjangoView

from console import circuit_pages, drill_pages, orders, speed_pages, switch_pages, views

admin.autodiscover()
urlpatterns = [
    path("", views.live, name="live"),
    path("calls/", views.calls, name="calls"),
    path("calls/<str:call_uuid>/", views.call, name="call"),
    path("incidents/", views.incidents, name="incidents"),
    path("circuits/moves/", circuit_pages.moves, name="circuit_moves"),
    path("speed/", speed_pages.how_fast, name="speed"),
    path("circuits/", orders.order_circuit, name="order_circuit"),
    path("switches/<slug:name>/channels/", switch_pages.channels, name="channels"),
    path("test-calls/", orders.order_test_call, name="order_test_call"),
    path("engine-fault/", orders.break_engine, name="break_engine"),
    path("drills/", drill_pages.page, name="drills"),
    path("drills/state/", drill_pages.state, name="drill_state"),
    path("drills/begin/", drill_pages.begin, name="begin_drill"),
    path("drills/end/", drill_pages.end, name="end_drill"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("metrics", ExportToDjangoView, name="metrics"),
    path("healthz", views.healthz, name="healthz"),
]
