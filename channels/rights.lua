-- Calls every command that the scripts of deliverers call, on scratch keys, and replies with those that Redis refuses,
-- each with the reason; as features/rights.lua does for all others.
--
-- KEYS  1 a string  2 a stream  3 a sorted set

local STRING, STREAM, SORTED = KEYS[1], KEYS[2], KEYS[3]
local refused = {}

local function try(command, ...)
  local reply = redis.pcall(command, ...)
  -- Where groups can't be made there is none to read with, which says nothing of the right to.
  if type(reply) == 'table' and reply.err and not string.find(reply.err, 'NOGROUP', 1, true) then
    refused[#refused + 1] = {command, reply.err}
  end
end

try('TIME')
try('EXISTS', STRING)
try('ZADD', SORTED, 1, 'member')
try('ZRANGEBYSCORE', SORTED, '-inf', 1)
try('ZREM', SORTED, 'another')
try('XGROUP', 'CREATE', STREAM, 'rights', '0', 'MKSTREAM')
try('XREADGROUP', 'GROUP', 'rights', 'any', 'NOACK', 'COUNT', 1, 'STREAMS', STREAM, '>')
try('XRANGE', STREAM, '-', '+')
try('XDEL', STREAM, '1-1')
for _, key in ipairs(KEYS) do
  redis.call('DEL', key)  -- features/rights.lua has tried that
end
return refused
