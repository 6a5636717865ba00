"""The Lua scripts of a Redis log: one for each verb that changes it.

The log is a hash, and a stream for each epoch. When a replica takes over, the old master may keep running for a while,
and acknowledge to processes that have not noticed. So the hash records for each ended epoch the newest sequence known.
A process that has read further in that epoch ends the current epoch as well: clients were told of a gap when it began,
and have to be told of what was appended to the old epoch after that, too.
"""

from __future__ import annotations

from typing import Final

__all__ = ["APPEND", "EDGES", "OPEN", "RENEW"]

_NOTE: Final = """
local function note(ended, epoch, sequence)
  return string.sub(string.format('%s:%.0f ', epoch, sequence) .. ended, 1, 1000)
end
"""
"""Ended epochs with their newest sequences, the newest epoch first. A truncated item has no blank behind it, and is not
found."""

OPEN: Final = (
    _NOTE
    + """
local log, run, survives, has_replicas, fresh = KEYS[1], ARGV[1], ARGV[2] == '1', ARGV[3] == '1', ARGV[4]
local known_epoch, known = ARGV[5], tonumber(ARGV[6])
local found = redis.call('HMGET', log, 'epoch', 'sequence', 'begin', 'run', 'replicated', 'ended')
local epoch, sequence, begin, ended = found[1], tonumber(found[2]), found[3], found[6] or ''
local restarted, was_replicated = found[4] ~= run, has_replicas or found[5]

local comes_from = known_epoch ~= '' and known_epoch ~= epoch
local _, place = string.find(' ' .. ended, ' ' .. known_epoch .. ':', 1, true)
local came_to = tonumber(place and string.match(ended, '^(%d+) ', place) or '-1')
local lived_on = comes_from and ended ~= '' and known > came_to
if not (epoch and sequence) or lived_on or (restarted and (not survives or found[5])) then
  if was_replicated then
    if comes_from then ended = note(ended, known_epoch, math.max(known, came_to)) end
    if epoch then ended = note(ended, epoch, math.max(sequence or 0, comes_from and 0 or known)) end
  else
    ended = ''
  end
  epoch, sequence, begin = fresh, 0, false
  redis.call('DEL', log)
  redis.call('HSET', log, 'epoch', epoch, 'sequence', sequence, 'run', run, 'ended', ended)
end
if has_replicas then redis.call('HSET', log, 'replicated', 1) end
if restarted then redis.call('HSET', log, 'run', run) end
return {epoch, string.format('%.0f', sequence), begin}
"""
)
"""Keys: log. Arguments: run id, whether a restart loses nothing, whether there are replicas, a new epoch, the epoch
that this process last read and its newest sequence there. Returns epoch, newest sequence, that entry's first bytes.

If there ever was a replica, another run id may mean another server."""

EDGES: Final = """
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
return oldest and {oldest[1], redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]}
"""
"""Keys: stream. Returns the ids of its oldest and newest entries, or nothing if it is empty."""

RENEW: Final = (
    _NOTE
    + """
local log, stream, epoch, fresh, known = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
local found = redis.call('HMGET', log, 'epoch', 'sequence', 'ended', 'replicated')
if found[1] == epoch then
  local ended = found[3] or ''
  if found[4] or ended ~= '' then ended = note(ended, epoch, math.max(tonumber(found[2]) or 0, known)) end
  redis.call('HSET', log, 'epoch', fresh, 'sequence', 0, 'begin', '', 'ended', ended)
  redis.call('DEL', stream)
end
"""
)
"""Keys: log, stream. Arguments: the epoch that lost entries, a new epoch, the newest sequence read in the old one."""

APPEND: Final = """
local log, stream, producer = KEYS[1], KEYS[2], KEYS[3]
local first, max_messages, max_bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local max_age = tonumber(ARGV[5])
local found = redis.call('HMGET', log, 'epoch', 'sequence', 'total')
if found[1] ~= ARGV[1] then return false end
local sequence, total = tonumber(found[2]), tonumber(found[3] or '0')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known, newest = tonumber(redis.call('GET', producer) or '0'), nil
for place = 7, #ARGV do
  if first + place - 7 > known then
    sequence = sequence + 1
    total = total + #ARGV[place]
    newest = ARGV[place]
    local fields = {'b', ARGV[place], 't', now, 's', string.format('%.0f', total)}
    local added = redis.pcall('XADD', stream, string.format('%.0f-0', sequence), unpack(fields))
    if type(added) == 'table' and added.err then
      -- Another program has written to the stream. Continue behind its id; readers announce the gap.
      local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
      if not last then return redis.error_reply(added.err) end
      sequence = tonumber(string.match(last[1], '^%d+')) + 1
      redis.call('XADD', stream, string.format('%.0f-0', sequence), unpack(fields))
    end
  end
end
redis.call('SET', producer, string.format('%.0f', math.max(known, first + #ARGV - 7)), 'EX', 86400)

-- The bytes from an entry on are the running total less that entry's: so the count stays right when entries expire or
-- are deleted by others. The newest entry stays, however long it is, and one more than the limits, which marks the
-- oldest position.
local chunk, rounds, enough = 2, 200, false
while not enough and rounds > 0 do
  rounds = rounds - 1
  local count, first, last = redis.call('XLEN', stream), nil, nil
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', chunk)) do
    local body, came, sum = entry[2][2] or '', tonumber(entry[2][4] or '0') or 0, tonumber(entry[2][6] or '')
    local bytes = sum and total - sum + #body or 0
    enough = count <= 1 or (count <= max_messages and bytes <= max_bytes and came >= now - max_age)
    if enough then break end
    count, first, last = count - 1, first or entry[1], entry[1]
  end
  if last ~= first then redis.call('XTRIM', stream, 'MINID', last) end
  chunk = 100
end
redis.call('PEXPIRE', stream, string.format('%.0f', max_age + 60000))
redis.call('HSET', log, 'sequence', string.format('%.0f', sequence), 'total', string.format('%.0f', total))
if newest then redis.call('HSET', log, 'begin', string.sub(newest, 1, tonumber(ARGV[6]))) end
return sequence
"""
"""Keys: log, stream, producer. Arguments: epoch, the first entry's number, retention, length of a stamp, the entries.
Returns the newest sequence, or nothing if the epoch is another."""
