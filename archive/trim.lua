-- Drops entries of a stream, from its beginning, that lie before ARGV[1] and that no consumer group needs any more.
--
-- A group needs what was not delivered to it yet, and what it was given and has not acknowledged: the first of that,
-- or else the last entry it was given, stays, and all after it. About ARGV[2] entries at most are dropped, and how
-- many is the reply; 0 means that nothing is left to drop.
--
-- KEYS  1 the stream
-- ARGV  1 an entry's id  2 a number of entries

local STREAM, before, most = KEYS[1], ARGV[1], ARGV[2]

-- Ids as text: the number behind the dash may be larger than a Lua number holds exactly.
local function earlier(one, other)
  local ms, number = string.match(one, '(%d+)-(%d+)')
  local other_ms, other_number = string.match(other, '(%d+)-(%d+)')
  if ms ~= other_ms then
    return tonumber(ms) < tonumber(other_ms)
  end
  if #number ~= #other_number then
    return #number < #other_number
  end
  return number < other_number
end

if redis.call('EXISTS', STREAM) == 0 then
  return 0
end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', STREAM)) do
  local told = {}
  for place = 1, #group, 2 do
    told[group[place]] = group[place + 1]
  end
  local needed = told['last-delivered-id']
  if told['pending'] > 0 then
    needed = redis.call('XPENDING', STREAM, told['name'])[2]
  end
  if earlier(needed, before) then
    before = needed
  end
end

-- Whole nodes first, as these are cheap and can be counted out; then what is left of the last one.
local dropped = redis.call('XTRIM', STREAM, 'MINID', '~', before, 'LIMIT', most)
if dropped == 0 then
  dropped = redis.call('XTRIM', STREAM, 'MINID', before)
end
return dropped
