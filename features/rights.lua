-- Calls every command that the scripts in here call, on scratch keys, and replies with those that Redis refuses: each
-- with the reason.
--
-- KEYS  1 a string  2 a hash  3 a stream

local STRING, HASH, STREAM = KEYS[1], KEYS[2], KEYS[3]
local refused = {}

local function try(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) == 'table' and reply.err then
    refused[#refused + 1] = {command, reply.err}
  end
end

try('TIME')
try('SET', STRING, '')
try('GET', STRING)
try('GETRANGE', STRING, 0, 1)
try('EXISTS', STRING)
try('PTTL', STRING)
try('HSET', HASH, 'field', 1)
try('HGET', HASH, 'field')
try('HMGET', HASH, 'field')
try('HGETALL', HASH)
try('HINCRBY', HASH, 'field', 1)
try('HDEL', HASH, 'another')
try('XADD', STREAM, 'MAXLEN', 1, '*', 'field', 1)
try('XRANGE', STREAM, '-', '+')
for _, key in ipairs(KEYS) do
  try('EXPIRE', key, 1)  -- where they may not be deleted
  try('PEXPIRE', key, 1000)
  try('DEL', key)
end
return refused
