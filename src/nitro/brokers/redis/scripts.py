"""What `redis.py` lets the server run: one script for each of its verbs that change the log.

The log is a hash, and a stream for each of its epochs. Where a replica takes over, its old master may live on for a
while, and acknowledge to those who have not noticed. So the hash says of epochs that have ended how far each was known
to have come. Who comes from one, and has read further there, ends the epoch that has begun since: whoever was told of a
gap when it began has to be told of what came after that, too.
"""

from __future__ import annotations

from typing import Final

__all__ = ["APPEND", "OPEN", "RENEW"]

_NOTE: Final = """
local function note(ended, epoch, sequence)
  return string.sub(string.format('%s:%.0f ', epoch, sequence) .. ended, 1, 1000)
end
"""
"""Ended epochs, the newest first, and how far they came. What is cut off has no blank behind it, and is not found."""

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
"""Log; run id, whether a restart loses nothing, whether there are replicas, a new epoch, the epoch that was read before
and how far → epoch, newest sequence, how that entry begins.

Once there was a replica, another run may be another server."""

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
"""Log, stream; the epoch that lost something, a new one, and how far the old one was read."""

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
      -- Somebody else has written here, with an id of its own. We go on behind it; readers announce the gap.
      local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
      if not last then return redis.error_reply(added.err) end
      sequence = tonumber(string.match(last[1], '^%d+')) + 1
      redis.call('XADD', stream, string.format('%.0f-0', sequence), unpack(fields))
    end
  end
end
redis.call('SET', producer, string.format('%.0f', first + #ARGV - 7), 'EX', 86400)

-- What the entries from one on have is what was ever appended, less what stood before it: so nothing has to be put
-- right when entries go by themselves, or by another's hand. The newest one stays, however long it is, and one more
-- than is retained, by which the oldest place is known.
local chunk, enough = 2, false
while not enough do
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
"""Log, stream, producer; epoch, the first one's number, retention, how long a stamp is, and the entries → the newest
sequence, or nothing if the epoch is another."""
