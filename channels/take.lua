-- Takes entries of a partition's outbox for one deliverer, for as long as its lease lasts; see channels/outbox.py.
--
-- Those come first that are due: put off until now, or taken by somebody who has not done with them in time. Then new
-- ones, in their order. The consumer group is the mark up to which entries have been taken once: reading from it
-- and noting the lease is one step here, so that no entry can be lost between the two.
--
-- An entry that isn't in the stream any more was erased: its note goes too.
--
-- KEYS  1 outbox  2 the notes: entries' ids, each with when somebody is to look at it next
-- ARGV  1 how far the service's clock is ahead, microseconds  2 the lease, microseconds  3 how many, at most
--
-- The reply is the service's time, then the entries as XRANGE gives them.

local OUTBOX, NOTES = KEYS[1], KEYS[2]
local clock = redis.call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2]) + tonumber(ARGV[1])
local most = tonumber(ARGV[3])
-- As text with all its digits: a number alone would be rounded to fourteen.
local now, leased = string.format('%.0f', now_us), string.format('%.0f', now_us + tonumber(ARGV[2]))
local taken = {}

for _, id in ipairs(redis.call('ZRANGEBYSCORE', NOTES, '-inf', now, 'LIMIT', 0, most)) do
  local entry = redis.call('XRANGE', OUTBOX, id, id)[1]
  if entry then
    redis.call('ZADD', NOTES, leased, id)
    taken[#taken + 1] = entry
  else
    redis.call('ZREM', NOTES, id)
  end
end

if #taken == most or redis.call('EXISTS', OUTBOX) == 0 then
  return {now_us, taken}
end

-- What is read can't be unread: so whether it may be noted is tried before. This adds nothing.
redis.call('ZADD', NOTES, 'XX', leased, '-')

local function read()
  return redis.pcall('XREADGROUP', 'GROUP', 'deliver', 'any', 'NOACK', 'COUNT', most - #taken, 'STREAMS', OUTBOX, '>')
end

local found = read()
if found and found.err then
  -- There is no group yet, or Redis has lost it: what is noted already is not taken again.
  redis.call('XGROUP', 'CREATE', OUTBOX, 'deliver', '0')
  found = read()
end
if found and found.err then
  return redis.error_reply(found.err)
end
for _, entry in ipairs(found and found[1][2] or {}) do
  if redis.call('ZADD', NOTES, 'NX', leased, entry[1]) == 1 then
    taken[#taken + 1] = entry
  end
end
return {now_us, taken}
