"""Settings of the test run: the product's own, with a data folder of its own and nothing of the developer's.

What the shell says of a stack is forgotten here, before anything reads it: also processes that tests start inherit none of it.
"""

import atexit
import os
import shutil
import tempfile

# What tests themselves are told so. LIFELINE_TEST_DATABASE_URL: another database than SQLite (tests/on_postgres).
KEPT = ("LIFELINE_TEST_DATABASE_URL", "LIFELINE_TEST_RECORDS", "LIFELINE_TEST_SCREENSHOTS", "LIFELINE_TEST_SHOTS")
# Nothing listens there: a test that needs a Redis starts one, and no other finds the one that this machine may have.
NOBODY = "redis://127.0.0.1:1/0"

for name in [name for name in os.environ if name == "DATABASE_URL" or (name.startswith("LIFELINE_") and name not in KEPT)]:
    del os.environ[name]
if "LIFELINE_TEST_DATABASE_URL" in os.environ:
    os.environ["DATABASE_URL"] = os.environ["LIFELINE_TEST_DATABASE_URL"]
os.environ["LIFELINE_REDIS_DURABLE_URL"] = os.environ["LIFELINE_REDIS_VOLATILE_URL"] = NOBODY
os.environ["LIFELINE_DATA_DIR"] = tempfile.mkdtemp(prefix="lifeline-test-")
os.environ["LIFELINE_DEMO"] = "true"

from console.settings import *  # noqa: E402, F403 — a settings module is the one place where this is Django's own way

STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # noqa: F405 — WhiteNoise warns of a folder that is not there
atexit.register(shutil.rmtree, os.environ["LIFELINE_DATA_DIR"], ignore_errors=True)
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # noqa: F405
    # A file, as in production. The one in memory, which Django takes otherwise, is shared between threads by a mode of SQLite
    # that waits for no lock: a test that reads while another thread writes fails now and then with "database table is locked".
    DATABASES["default"]["TEST"] = {"NAME": LIFELINE_DATA_DIR / "tests.sqlite3"}  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
