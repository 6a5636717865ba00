"""The Lua scripts of the Redis store: one for each verb that changes something, or that has to stop at a limit.

A stream is a hash with its version, tail, state and alarm, and a Redis stream with its records, whose ids are their
versions. All keys of a script are in one slot of a cluster.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Final, NamedTuple

__all__ = ["ALL", "COMMIT", "DUE", "FORGET", "GRACE_SECONDS", "POSTPONE", "READ", "Script"]


class Script(NamedTuple):
    """A script, and the digest by which Redis knows it once it has run."""

    text: str
    sha: str


def _script(text: str) -> Script:
    """A script with its digest."""
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


GRACE_SECONDS: Final = 3600
"""How long after its alarm Redis itself deletes a stream that expires then, if nobody has swept it."""
_LAST_SECONDS: Final = "100000000000"
"""An alarm that is later would be too late for Redis to count."""

_EXPIRE: Final = f"""
local function expire(hash, records, alarm, now)
  local at = math.min(math.max(tonumber(alarm), now / 1000000), {_LAST_SECONDS}) + {GRACE_SECONDS}
  local text = string.format('%.0f', at * 1000)
  redis.call('PEXPIREAT', hash, text)
  redis.call('PEXPIREAT', records, text)
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
"""

COMMIT: Final = _script(
    _EXPIRE
    + """
local hash, records, names, alarms = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local key, channel, longest = ARGV[1], ARGV[2], tonumber(ARGV[3])
local expected, tail, alarm, expires, state, body = tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local found = redis.call('HMGET', hash, 'version', 'tail', 'alarm')
local newest = tonumber(found[1] or '0')
local previous = found[2] and newest or 0
if previous ~= expected then return -1 - previous end

local version = math.max(newest + 1, tonumber(tail) + 1, now)
local text = string.format('%.0f', version)
local about = string.format('%.0f %s ', previous, text)
if not state then
  redis.call('UNLINK', hash, records)
  redis.call('ZREM', names, key)
  redis.call('ZREM', alarms, key)
  if version > now then
    -- The clock was put back. Remember the version until the clock is there again.
    redis.call('HSET', hash, 'version', text)
    redis.call('PEXPIREAT', hash, string.format('%.0f', version / 1000 + 1))
  end
  redis.call('PUBLISH', channel, about .. 'deleted')
  return version
end

if body then tail = text end
if previous == 0 then
  redis.call('DEL', hash)
  redis.call('ZADD', names, 0, key)
end
redis.call('HSET', hash, 'version', text, 'tail', tail, 'state', state, 'alarm', alarm)
if body then redis.call('XADD', records, text .. '-0', 'b', body) end
local had_alarm = found[3] and found[3] ~= ''
if alarm ~= '' then
  if alarm ~= found[3] then redis.call('ZADD', alarms, alarm, key) end
elseif had_alarm then
  redis.call('ZREM', alarms, key)
end
if expires == '1' and alarm ~= '' then
  expire(hash, records, alarm, now)
elseif had_alarm then
  redis.call('PERSIST', hash)
  redis.call('PERSIST', records)
end
if #state + (body and #body or 0) > longest then
  redis.call('PUBLISH', channel, about .. 'long')
else
  local parts = {about, tail, ' ', alarm, ' ', #state, body and ' body\\n' or ' none\\n', state, body or ''}
  redis.call('PUBLISH', channel, table.concat(parts))
end
return version
"""
)
"""Keys: hash, records, names, alarms. Arguments: key, channel, length of the longest news, expected version, tail,
alarm or nothing, whether it expires then; and if it isn't deleted the state, and the record if there is one. Returns
the new version; or -1 less the version that it is at, and has done nothing then.

A version is the time in microseconds, if that is greater than what was before; so a key that is deleted and made again
has a greater one, and no trace has to be kept of it."""

POSTPONE: Final = _script(
    _EXPIRE
    + """
local hash, records, alarms = KEYS[1], KEYS[2], KEYS[3]
if redis.call('HGET', hash, 'alarm') ~= ARGV[2] then return 0 end
redis.call('HSET', hash, 'alarm', ARGV[3])
redis.call('ZADD', alarms, ARGV[3], ARGV[1])
if redis.call('PTTL', hash) >= 0 then expire(hash, records, ARGV[3], now) end
return 1
"""
)
"""Keys: hash, records, alarms. Arguments: key, the alarm that it has, the one that it gets. Returns whether it did."""

READ: Final = _script("""
local start, left, found, count = '(' .. ARGV[1] .. '-0', tonumber(ARGV[3]), {}, 4
while true do
  local entries = redis.call('XRANGE', KEYS[1], start, ARGV[2], 'COUNT', count)
  for _, entry in ipairs(entries) do
    left = left - #entry[2][2]
    if left < 0 and #found > 0 then return found end
    found[#found + 1] = entry[1]
    found[#found + 1] = entry[2][2]
  end
  if #entries < count then return found end
  start = '(' .. entries[count][1]
  count = math.min(2 * count, 512)
end
""")
"""Keys: records. Arguments: the version before the first, the last version, how many bytes. Returns ids and records in
turn. Only a script can stop at a number of bytes; it begins with few entries, since they may be long."""

DUE: Final = _script("""
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
""")
"""Keys: alarms. Arguments: the latest alarm, how many. Returns keys and alarms in turn, as text in any protocol."""

FORGET: Final = _script("""
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
""")
"""Keys: hash, names, alarms. Argument: key. Returns whether it is gone; then the indexes no longer have it."""

ALL: Final = {each.sha: each.text for each in (COMMIT, POSTPONE, READ, DUE, FORGET)}
"""Digest → text."""
