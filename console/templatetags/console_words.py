"""The wording of ``console/words.py`` for templates."""

from __future__ import annotations

from django import template

from console import words

register = template.Library()
register.filter("milliseconds", words.milliseconds)
register.filter("thousands", words.thousands)
register.filter("money", words.money)
register.filter("duration", words.long_duration)
