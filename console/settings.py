"""Settings of every Lifeline process, in one file, read through typed helpers. ``docs/settings.md`` explains each."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import environ
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured

from console.environment import Environment
from console.logs import LEVELS
from console.switch_settings import MAIN, SwitchAddress, checked_endpoint, checked_password, further_switches

BASE_DIR = Path(__file__).resolve().parent.parent
LIFELINE_DATA_DIR = Path(os.environ.get("LIFELINE_DATA_DIR", "").strip() or BASE_DIR / ".lifeline").resolve()
env = Environment(LIFELINE_DATA_DIR)

# --- Safety ---------------------------------------------------------------------------------------------------------
DEBUG = env.flag("LIFELINE_DEBUG")
LIFELINE_DEMO = env.flag("LIFELINE_DEMO")
SECRET_KEY = env.secret("LIFELINE_SECRET_KEY", "")
if not SECRET_KEY:
    # run_all makes the key, and hands it to every process that it starts.
    if not (DEBUG or LIFELINE_DEMO or sys.argv[1:2] == ["run_all"]):
        raise ImproperlyConfigured(
            "LIFELINE_SECRET_KEY is not set: give a long random text (or start with `make run`, which makes one)."
        )
    SECRET_KEY = "only-for-development-" + "0" * 40
ALLOWED_HOSTS = env.names("LIFELINE_ALLOWED_HOSTS", "127.0.0.1,localhost")
CSRF_TRUSTED_ORIGINS = env.names("LIFELINE_TRUSTED_ORIGINS")
LIFELINE_HTTPS = env.flag("LIFELINE_HTTPS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LIFELINE_HTTPS
SECURE_SSL_REDIRECT = LIFELINE_HTTPS
# Asked from inside, beside the proxy, by what speaks no TLS to us: a load balancer, the launcher, Prometheus.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if LIFELINE_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = LIFELINE_HTTPS
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
DEFAULT_EXCEPTION_REPORTER_FILTER = "console.debug_pages.SettingsFilter"
LIFELINE_TRUSTED_PROXY = env.flag("LIFELINE_TRUSTED_PROXY")
if LIFELINE_TRUSTED_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# No page of ours has a script or a style in its text, so that no nonce is needed and nothing injected runs.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE], "script-src": [SELF], "style-src": [SELF], "img-src": [SELF, "data:"], "font-src": [SELF],
        "connect-src": [SELF], "media-src": [SELF], "form-action": [SELF], "base-uri": [NONE], "frame-ancestors": [NONE],
    }
}  # fmt: skip
# unfold's Alpine makes functions of attributes' text (eval), and its pages carry styles. No script in their text runs either.
LIFELINE_ADMIN_POLICY = {
    **CONTENT_SECURITY_POLICY["DIRECTIVES"], "script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE],
    "media-src": [SELF, "data:"],  # A trial's sound is in its answer, and kept nowhere.
}  # fmt: skip

# --- Logging in (console/login_guard.py) ------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_HANDLER = "console.login_guard.LoginLimits"
AXES_LOCKOUT_PARAMETERS = ["username", "ip_address"]
AXES_FAILURE_LIMIT = 10  # login_guard.FAILURES_BY_NAME: settings import nothing that needs models. A test compares them.
AXES_COOLOFF_TIME = timedelta(minutes=15)
# Attempts while it is locked are not written down: a flood of them must cost the database nothing.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_CALLABLE = "console.login_guard.locked_out"
AXES_CLIENT_IP_CALLABLE = "console.login_guard.client_address"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]
AXES_ENABLE_ADMIN = False

# --- Django ---------------------------------------------------------------------------------------------------------
# "daphne" is not among them: it would install Twisted's reactor in every process, for the sake of runserver alone.
INSTALLED_APPS = [
    "axes",
    "unfold",
    "console.admin_config.AdminWhenServed",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_prometheus",
    "channels",
    "callflows",
    "ivr_fallback",
    "esl_bridge",
    "ai_engine",
    "simulator",
    "console",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "console.page_headers.PageHeaders",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",  # The last: it puts the lock's page in place of the form's answer.
]
ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
UNFOLD = {"SITE_TITLE": "Lifeline", "SITE_HEADER": "Lifeline", "SITE_SUBHEADER": "Flows, engines, users", "SITE_SYMBOL": "call"}
LANGUAGE_CODE = "en-gb"
TIME_ZONE = env.text("LIFELINE_TIME_ZONE", "UTC")
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = LIFELINE_DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "live"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# --- The launcher (make run) -----------------------------------------------------------------------------------------
LIFELINE_CONSOLE_HOST = env.text("LIFELINE_CONSOLE_HOST", "127.0.0.1")
LIFELINE_CONSOLE_PORT = env.port("LIFELINE_CONSOLE_PORT", 8000)
# Part of each bridge's and worker's name; with it no name is longer than 64.
LIFELINE_HOST_NAME = env.name("LIFELINE_HOST_NAME", "", most=40)
LIFELINE_RUN_ONLY = env.names("LIFELINE_RUN_ONLY")
LIFELINE_RUN_WITHOUT = env.names("LIFELINE_RUN_WITHOUT")
LIFELINE_RUN_BRIDGES = env.number("LIFELINE_RUN_BRIDGES", 1, least=1, most=9)
LIFELINE_RUN_WORKERS = env.number("LIFELINE_RUN_WORKERS", 2, least=1, most=64)
LIFELINE_RUN_WORKERS_MOST = env.number("LIFELINE_RUN_WORKERS_MOST", 4, least=1, most=64)
LIFELINE_RUN_TURNS_WAITING = env.number("LIFELINE_RUN_TURNS_WAITING", 3, least=1, most=1000)
LIFELINE_RUN_PORTS_FROM = env.text("LIFELINE_RUN_PORTS_FROM", "")
LIFELINE_RUN_SOCKET = env.text("LIFELINE_RUN_SOCKET", "")

# --- Where things are kept -----------------------------------------------------------------------------------------
DATABASES = {
    "default": environ.Env.db_url_config(
        env.url("DATABASE_URL", f"sqlite:///{LIFELINE_DATA_DIR}/lifeline.sqlite3", *environ.Env.DB_SCHEMES)
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Measured: with these three, five writers never see "database is locked".
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    # Kept connections (CONN_MAX_AGE) stay at 0: every request of the console has a thread of its own, and would leave one behind.
    DATABASES["default"]["OPTIONS"] = {
        # A server that is gone without a word is noticed within half a minute, not after the system's two hours.
        "connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000,
        # A recorder that froze within a transaction must not hold up the other one. Transactions here take a second at most.
        "options": "-c idle_in_transaction_session_timeout=60s",
        **DATABASES["default"].get("OPTIONS", {}),
    }  # fmt: skip
REDIS_SCHEMES = ("redis", "rediss", "unix")
LIFELINE_REDIS_DURABLE_URL = env.url("LIFELINE_REDIS_DURABLE_URL", "redis://127.0.0.1:6379/0", *REDIS_SCHEMES)
LIFELINE_REDIS_VOLATILE_URL = env.url("LIFELINE_REDIS_VOLATILE_URL", "redis://127.0.0.1:6380/0", *REDIS_SCHEMES)
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [LIFELINE_REDIS_VOLATILE_URL], "prefix": "channels"},
    }
}
CELERY_BROKER_URL = env.url("LIFELINE_CELERY_BROKER_URL", LIFELINE_REDIS_DURABLE_URL)
LIFELINE_FLOW_SNAPSHOT = env.path("LIFELINE_FLOW_SNAPSHOT", LIFELINE_DATA_DIR / "flows.json")
LIFELINE_LAST_RESORT_DIALPLAN = env.path("LIFELINE_LAST_RESORT_DIALPLAN", LIFELINE_DATA_DIR / "last_resort.xml")
LIFELINE_SPOOL_DIR = env.path("LIFELINE_SPOOL_DIR", LIFELINE_DATA_DIR / "spool")
LIFELINE_SPOOL_BYTES = env.number("LIFELINE_SPOOL_BYTES", 2_147_483_648, least=16_777_216, most=1 << 44)

# --- The bridge and the media gateway ------------------------------------------------------------------------------
LIFELINE_ESL_HOST = env.text("LIFELINE_ESL_HOST", "127.0.0.1")
LIFELINE_ESL_PORT = env.port("LIFELINE_ESL_PORT", 8084)
LIFELINE_ESL_ALLOW = env.networks("LIFELINE_ESL_ALLOW", "127.0.0.0/8,::1")
LIFELINE_ESL_PER_ADDRESS = env.number("LIFELINE_ESL_PER_ADDRESS", 0, most=100_000)
LIFELINE_MEDIA_HOST = env.text("LIFELINE_MEDIA_HOST", "127.0.0.1")
LIFELINE_MEDIA_PORT = env.port("LIFELINE_MEDIA_PORT", 8765)
LIFELINE_MEDIA_ALLOW = env.networks("LIFELINE_MEDIA_ALLOW", "127.0.0.0/8,::1")
LIFELINE_MEDIA_MAX_CALLS = env.number("LIFELINE_MEDIA_MAX_CALLS", 2000, least=1, most=100_000)
LIFELINE_MEDIA_PER_ADDRESS = env.number("LIFELINE_MEDIA_PER_ADDRESS", 0, most=100_000)
LIFELINE_MEDIA_URL = env.media_url("LIFELINE_MEDIA_URL", LIFELINE_MEDIA_HOST, LIFELINE_MEDIA_PORT)
LIFELINE_MEDIA_SECRET = env.secret("LIFELINE_MEDIA_SECRET", SECRET_KEY)
LIFELINE_BRIDGE_ID = env.name("LIFELINE_BRIDGE_ID", "bridge-1")
LIFELINE_CHAIN_EXTENSION = env.text("LIFELINE_CHAIN_EXTENSION", "9200")
LIFELINE_CHAIN_CONTEXT = env.text("LIFELINE_CHAIN_CONTEXT", "lifeline")
LIFELINE_PROMPT_DIR = env.sound_folder("LIFELINE_PROMPT_DIR", LIFELINE_DATA_DIR / "prompts")
# A call lasts minutes; a deployment does not wait that long. What is left goes back through the dialplan to another bridge.
LIFELINE_DRAIN_S = env.number("LIFELINE_DRAIN_S", 20, most=3600)
# Whose actions flows may name: a class like the demonstration's, with its table of them.
LIFELINE_BUSINESS = env.text("LIFELINE_BUSINESS", "esl_bridge.actions.demonstration.DemonstrationBusiness")
LIFELINE_MAX_CALLS = env.number("LIFELINE_MAX_CALLS", 1000, least=1, most=100_000)

# --- The switch (control port) and the simulator ---------------------------------------------------------------------
LIFELINE_SWITCH_HOST = env.text("LIFELINE_SWITCH_HOST", "127.0.0.1")
LIFELINE_SWITCH_PORT = env.port("LIFELINE_SWITCH_PORT", 8021)
LIFELINE_SWITCH_PASSWORD = checked_password(
    "LIFELINE_SECRET_SWITCH_PASSWORD", env.text("LIFELINE_SECRET_SWITCH_PASSWORD", "ClueCon")
)
# Those beside the one above; console/switches.py has them all.
LIFELINE_SWITCHES = further_switches(
    env,
    env.names("LIFELINE_SWITCHES"),
    SwitchAddress(MAIN, LIFELINE_SWITCH_HOST, LIFELINE_SWITCH_PORT, LIFELINE_SWITCH_PASSWORD),
)
# What publishing asks before calls may use a version: callflows may not import it. Not the environment's to say.
LIFELINE_SWITCH_READINESS = "console.switch_readiness.problems"
LIFELINE_TEST_CALL_ENDPOINT = checked_endpoint(
    "LIFELINE_TEST_CALL_ENDPOINT",
    env.text("LIFELINE_TEST_CALL_ENDPOINT", f"loopback/{LIFELINE_CHAIN_EXTENSION}/{LIFELINE_CHAIN_CONTEXT}"),
)
LIFELINE_BRIDGES = env.text("LIFELINE_BRIDGES", f"{LIFELINE_ESL_HOST}:{LIFELINE_ESL_PORT}")
LIFELINE_DIALPLAN = env.path("LIFELINE_DIALPLAN", BASE_DIR / "deploy/freeswitch/dialplan/lifeline.xml")
LIFELINE_SIMULATE_RATE = env.text("LIFELINE_SIMULATE_RATE", "0.25")

# --- AI --------------------------------------------------------------------------------------------------------------
LIFELINE_ENGINE_HOST = env.text("LIFELINE_ENGINE_HOST", "127.0.0.1")
LIFELINE_ENGINE_STT_PORT = env.port("LIFELINE_ENGINE_STT_PORT", 2700)
LIFELINE_ENGINE_HTTP_PORT = env.port("LIFELINE_ENGINE_HTTP_PORT", 2701)
# JSON list of {"name", "stage", "kind", "url", …}; empty: the rows in the admin, and without any the local engine.
LIFELINE_ENGINES = env.text("LIFELINE_ENGINES", "")
LIFELINE_ENGINE_HOSTS = env.names("LIFELINE_ENGINE_HOSTS")
LIFELINE_ENGINE_SNAPSHOT = env.path("LIFELINE_ENGINE_SNAPSHOT", LIFELINE_DATA_DIR / "engines.json")
LIFELINE_WORKER_TURNS = env.number("LIFELINE_WORKER_TURNS", 16, least=1, most=1000)
# What workers keep for other callers; "none" keeps nothing.
LIFELINE_CACHES = env.names("LIFELINE_CACHES", "intents,speech")
LIFELINE_WORKER_ID = env.text("LIFELINE_WORKER_ID", "")
LIFELINE_CIRCUIT_FAILURES = env.number("LIFELINE_CIRCUIT_FAILURES", 3, least=3, most=5)
LIFELINE_CIRCUIT_OPEN_S = env.number("LIFELINE_CIRCUIT_OPEN_S", 15, least=1, most=3600)
LIFELINE_PII_IN_LOGS = env.flag("LIFELINE_PII_IN_LOGS")
LIFELINE_LOG_LEVEL = env.one_of("LIFELINE_LOG_LEVEL", "INFO", *LEVELS)

# Secrets are read by name where they are used; the console's port and the launcher's names belong to the launcher.
ELSEWHERE = ("LIFELINE_SECRET_", "LIFELINE_DATA_DIR", "LIFELINE_CONSOLE_", "LIFELINE_RUN_", "LIFELINE_TEST_")
env.refuse_unknown("LIFELINE_", known_elsewhere=ELSEWHERE)
LOGGING_CONFIG = None
