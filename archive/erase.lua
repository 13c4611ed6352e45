-- Takes entries out of a stream, wherever they stand in it, and out of what its consumer groups wait for: a group whose
-- entry is gone without its knowing would hold trimming back until somebody acknowledged nothing. Both or none of it.
-- How many there were is the reply.
--
-- KEYS  1 the stream
-- ARGV  ids of entries

if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  redis.call('XACK', KEYS[1], group[2], unpack(ARGV))
end
return redis.call('XDEL', KEYS[1], unpack(ARGV))
