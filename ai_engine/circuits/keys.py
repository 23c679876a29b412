"""Where circuits lie in the durable Redis, and the scripts that change them in one step.

Owns names and Lua text only. All times inside Redis are its own clock's, in milliseconds since 1970; processes send
ages, so no two machines' clocks are ever compared.

``circuit:{name}``         hash state (closed, open), failures, changed, version, why; half-open is derived from changed
``circuit:forced:{name}``  an operator's hold as JSON, without expiry unless it has a chosen time
``circuit:probe:{name}``   the token of the one probe, with expiry
``circuit:revision``       rises with every change, so that a process reads everything only when something moved
``circuit:engines``        hash name -> what is known of the circuit, refreshed by the processes that guard it
``circuit:local:{name}``   a bridge's own circuit as it stands, gone three seconds after its bridge
``circuit:locals``         set of the names of those
"""

from __future__ import annotations

REVISION = "circuit:revision"
ENGINES = "circuit:engines"
LOCALS = "circuit:locals"


def state_key(name: str) -> str:
    return f"circuit:{name}"


def forced_key(name: str) -> str:
    return f"circuit:forced:{name}"


def probe_key(name: str) -> str:
    return f"circuit:probe:{name}"


def local_key(name: str) -> str:
    return f"circuit:local:{name}"


def told_key(name: str, state: str) -> str:
    return f"circuit:told:{name}:{state}"


_READ = """
local h = redis.call('HMGET', KEYS[1], 'state', 'failures', 'changed', 'version', 'why')
local state = h[1] or 'closed'
local failures = tonumber(h[2] or '0')
local changed = tonumber(h[3] or '0')
local version = tonumber(h[4] or '0')
local why = h[5] or ''
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function move(to, at, count, reason)
  state, changed, failures, why = to, at, count, reason
  version = version + 1
end
local function save()
  redis.call('HSET', KEYS[1], 'state', state, 'failures', failures, 'changed', string.format('%.0f', changed),
    'version', version, 'why', why)
  redis.call('INCR', KEYS[2])
end
local function answer()
  return {state, failures, now - changed, version, why}
end
"""

# KEYS: state, revision. ARGV: known version, ok seen, failures since, threshold, why, own state or '', its age, away.
# An outcome of an older version is ignored. A process's own move is taken when it knew the version, or, after it was
# cut off, when it is the later one.
EXCHANGE = (
    _READ
    + """
local known = tonumber(ARGV[1]) == version
local changed_any = false
if known and state == 'closed' then
  if ARGV[2] == '1' and failures > 0 then failures = 0; changed_any = true end
  local fails = tonumber(ARGV[3])
  if fails > 0 then
    failures = failures + fails
    changed_any = true
    if failures >= tonumber(ARGV[4]) then move('open', now, failures, ARGV[5]) end
  end
end
local own, at = ARGV[6], now - tonumber(ARGV[7])
if own ~= '' and (known or ARGV[8] == '1') and at > changed and (own ~= state or own == 'open') then
  move(own, at, own == 'open' and math.max(failures, tonumber(ARGV[4])) or 0, own == 'open' and ARGV[5] or '')
  changed_any = true
end
if changed_any then save() end
return answer()
"""
)

# KEYS: state, revision, probe. ARGV: token, lock's milliseconds, open time in milliseconds. 1: this caller may probe.
CLAIM = (
    _READ
    + """
if state ~= 'open' or now - changed < tonumber(ARGV[3]) then return 0 end
if redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
"""
)

# KEYS: state, revision, probe. ARGV: token, verdict, threshold, why. Result and release of the lock in one step, so
# that nobody can probe between them; a result whose lock has expired is ignored (-1), else the circuit's version is
# answered.
SETTLE = (
    _READ
    + """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return -1 end
redis.call('DEL', KEYS[3])
if ARGV[2] == 'ok' then move('closed', now, 0, ''); save() end
if ARGV[2] == 'fail' then move('open', now, math.max(failures, tonumber(ARGV[3])), ARGV[4]); save() end
return version
"""
)
