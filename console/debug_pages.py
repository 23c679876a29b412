"""What Django's debug page (LIFELINE_DEBUG) may show of the settings: nothing that holds a password.

Owns the names that are blanked beside Django's own. Local variables are shown all the same, which is why the page is for a
developer's machine alone.
"""

from __future__ import annotations

import re

from django.views.debug import SafeExceptionReporterFilter

OURS = "REDIS|BROKER|CHANNEL_LAYERS|DATABASE|SWITCHES|ENGINES"


class SettingsFilter(SafeExceptionReporterFilter):
    """Addresses of Redis and the broker carry their passwords in the text, as does what is made of them."""

    hidden_settings = re.compile(f"{SafeExceptionReporterFilter.hidden_settings.pattern}|{OURS}", re.IGNORECASE)
