"""The scripts that change circuits in the durable Redis, each in one step, and what moved into the stream with it.

Owns Lua text only. A move and its entry in ``circuits:moves`` are one step, so that each is told exactly once however
many processes saw it, and none is lost with the process that made it. All times are Redis' own, in milliseconds since
1970; processes send ages. Keys that depend on others (a hold's circuit) are put together inside: one Redis, no cluster.
"""

from __future__ import annotations

from ai_engine.circuits import keys

# An operator looks back over days; the records keep the rest. Three circuits that open and are tested every 15 s fill
# it in seven hours, and the recorder is seldom away that long. About 2 MB.
KEPT_MOVES = 10_000
# What was sent and got no answer is sent again when Redis is back; nobody waits longer for that.
TOLD_MS = 24 * 3600 * 1000

_TELL = f"""
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
local function tell(circuit, how, before, after, at, lasted, by, why, ends)
  redis.call('XADD', '{keys.MOVES}', 'MAXLEN', '~', '{KEPT_MOVES}', '*', 'circuit', circuit, 'how', how, 'before', before,
    'after', after, 'at', whole(at), 'lasted', whole(math.max(0, lasted)), 'by', by, 'why', why, 'until', ends)
end
"""

# ``half`` says that the end of the open time was told; ``opened`` is when it left closed, through failed probes too.
_READ = (
    _TELL
    + """
local name = string.sub(KEYS[1], string.len('circuit:') + 1)
local h = redis.call('HMGET', KEYS[1], 'state', 'failures', 'changed', 'version', 'why', 'half', 'opened')
local state = h[1] or 'closed'
local failures = tonumber(h[2] or '0')
local changed = tonumber(h[3] or '0')
local version = tonumber(h[4] or '0')
local why = h[5] or ''
local half = h[6] == '1'
local opened = tonumber(h[7] or '0')
if changed > now then  -- Redis' clock was set back: what lies in its future would stay open for as much longer.
  changed, opened = now, math.min(opened, now)
  redis.call('HSET', KEYS[1], 'changed', whole(changed), 'opened', whole(opened))
end
local function halve(open_ms)
  if state == 'open' and not half and now - changed >= open_ms then
    half = true
    redis.call('HSET', KEYS[1], 'half', '1')
    tell(name, 'automatic', 'open', 'half_open', changed + open_ms, changed + open_ms - opened, '', 'timeout', '')
  end
end
local function move(to, at, count, reason)
  local before, lasted = state, at - opened
  if half then before = 'half_open' end
  if state == 'closed' then
    lasted = changed > 0 and at - changed or 0
    opened = at
  end
  tell(name, 'automatic', before, to, at, lasted, '', reason, '')
  state, changed, failures, why, half = to, at, count, to == 'open' and reason or '', false
  version = version + 1
end
local function save()
  redis.call('HSET', KEYS[1], 'state', state, 'failures', failures, 'changed', whole(changed), 'version', version,
    'why', why, 'half', half and '1' or '', 'opened', whole(opened))
  redis.call('INCR', KEYS[2])
end
local function answer()
  return {state, failures, now - changed, version, why}
end
local function told(by, what, number)
  return tonumber(number) <= tonumber(redis.call('HGET', by, what .. ':' .. name) or '0')
end
local function note(by, what, number)
  redis.call('HSET', by, what .. ':' .. name, number)
  redis.call('PEXPIRE', by, '"""
    + str(TOLD_MS)
    + """')
end
"""
)

# KEYS: state, revision, what this process told. ARGV: known version, ok seen, failures since, threshold, why, own state or
# '', its age, away, open time, number of the outcomes, number of the own move. An outcome of an older version is ignored,
# and so is what was told before: it is sent again after a lost answer. A process's own move is taken when it knew the
# version, or, after it was cut off, when it is the later one; the failures that made it are not counted beside it.
EXCHANGE = (
    _READ
    + """
halve(tonumber(ARGV[9]))
local known = tonumber(ARGV[1]) == version
local changed_any = false
local own, at = ARGV[6], now - tonumber(ARGV[7])
if own ~= '' and (known or ARGV[8] == '1') and at > changed and (own ~= state or own == 'open')
    and not told(KEYS[3], 'move', ARGV[11]) then
  move(own, at, own == 'open' and math.max(failures, tonumber(ARGV[4])) or 0, own == 'open' and ARGV[5] or 'probe')
  note(KEYS[3], 'move', ARGV[11])
  changed_any = true
elseif known and state == 'closed' and not told(KEYS[3], 'outcomes', ARGV[10]) then
  if ARGV[2] == '1' and failures > 0 then failures = 0; changed_any = true end
  local fails = tonumber(ARGV[3])
  if fails > 0 then
    failures = failures + fails
    changed_any = true
    if failures >= tonumber(ARGV[4]) then move('open', now, failures, ARGV[5]) end
  end
  if changed_any then note(KEYS[3], 'outcomes', ARGV[10]) end
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
if redis.call('PTTL', KEYS[3]) > tonumber(ARGV[2]) then redis.call('DEL', KEYS[3]) end  -- The clock was set back.
if redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[2]) then
  halve(tonumber(ARGV[3]))
  return 1
end
return 0
"""
)

# KEYS: state, revision, probe, what this process told. ARGV: token, verdict, threshold, why, number of the move that the
# verdict was in the process. Result and release of the lock in one step, so that nobody can probe between them; a result
# whose lock has expired is ignored (-1), else the circuit's version is answered.
SETTLE = (
    _READ
    + """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return -1 end
redis.call('DEL', KEYS[3])
if ARGV[2] == 'ok' then move('closed', now, 0, 'probe'); save() end
if ARGV[2] == 'fail' then move('open', now, math.max(failures, tonumber(ARGV[3])), ARGV[4]); save() end
if ARGV[2] ~= 'abandoned' then note(KEYS[4], 'move', ARGV[5]) end
return version
"""
)

# Holds that ended at their chosen time: Redis drops them by itself, and this tells it, once.
_HOLDS = (
    _TELL
    + f"""
local function beneath(name)
  local view = redis.call('GET', 'circuit:local:' .. name)
  if view then
    local shown = cjson.decode(view).state
    return string.sub(shown, 1, 6) == 'forced' and '' or shown
  end
  local h = redis.call('HMGET', 'circuit:' .. name, 'state', 'half')
  if h[1] == 'open' and h[2] == '1' then return 'half_open' end
  return h[1] or (name == 'turns' and '' or 'closed')
end
local function reap()
  local all = redis.call('HGETALL', '{keys.HELD}')
  for i = 1, #all, 2 do
    local hold = cjson.decode(all[i + 1])
    local ends = hold['until']
    if type(ends) == 'number' and ends * 1000 <= now then
      tell(all[i], 'expired', hold.state, beneath(all[i]), ends * 1000, (ends - hold.since) * 1000, hold.by, '', '')
      redis.call('HDEL', '{keys.HELD}', all[i])
    end
  end
end
reap()
"""
)

REAP = _HOLDS

# KEYS: revision, then each circuit's forced key. ARGV: hold as JSON, when it ends in milliseconds or '', then each name.
HOLD = (
    _HOLDS
    + f"""
local hold = cjson.decode(ARGV[1])
for i = 2, #KEYS do
  local name, before = ARGV[i + 1], redis.call('HGET', '{keys.HELD}', ARGV[i + 1])
  before = before and cjson.decode(before).state or beneath(name)
  if ARGV[2] == '' then redis.call('SET', KEYS[i], ARGV[1])
  else redis.call('SET', KEYS[i], ARGV[1], 'PXAT', ARGV[2]) end
  redis.call('HSET', '{keys.HELD}', name, ARGV[1])
  tell(name, 'forced', before, hold.state, now, 0, hold.by, hold.why, ARGV[2])
end
redis.call('INCR', KEYS[1])
return 1
"""
)

# KEYS: revision, then each circuit's forced key. ARGV: who, why, then each name. Only what was held is told.
RELEASE = (
    _HOLDS
    + f"""
for i = 2, #KEYS do
  local name, value = ARGV[i + 1], redis.call('GET', KEYS[i])
  if value then
    local readable, hold = pcall(cjson.decode, value)
    if not readable then hold = {{state = '', since = now / 1000}} end
    redis.call('DEL', KEYS[i])
    redis.call('HDEL', '{keys.HELD}', name)
    tell(name, 'released', hold.state, beneath(name), now, now - hold.since * 1000, ARGV[1], ARGV[2], '')
  end
end
redis.call('INCR', KEYS[1])
return 1
"""
)

# A bridge's own circuit moved. KEYS: a mark of this move. ARGV: name, before, after, age, lasted, why, the mark's
# milliseconds. Sent again after a lost answer, it is told once.
TELL_LOCAL = (
    _TELL
    + """
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[7]) then return 0 end
tell(ARGV[1], 'automatic', ARGV[2], ARGV[3], now - tonumber(ARGV[4]), tonumber(ARGV[5]), '', ARGV[6], '')
return 1
"""
)
