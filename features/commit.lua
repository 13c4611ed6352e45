-- Compare and commit: the one place where a customer's state changes.
--
-- A worker has decided on a state of some version. Only if that is still the version, the new state, the record of
-- the decision and what is to be sent are written, together. Otherwise the reply carries what is true now, and the
-- worker decides again. The script compares and appends; it knows nothing of policy.
--
-- A state is one string: version (16 bytes: counter, then randomness), time of the last commit (16 digits,
-- microseconds), then a body that is opaque here. No body: a tombstone. No key: absent, whose version is ''.
--
-- Redis does not undo a script that fails half way. So every check comes before the first write, and the first write
-- is one that Redis refuses when memory is full; after it nothing in here can fail on a key only Tino writes, as long as
-- the user may run every command: features.rights looks at that before the first commit.
--
-- KEYS  1 state  2 request  3 ticket  4 decisions  5 outbox; with events also
--       6 the customer's ids of events of today  7 of yesterday  8 events; after all these the accounts of the
--       budgets that are taken from (see budgets.lua)
-- ARGV  1 a msgpack array, in the order in which it is taken apart below; '' and 0 stand for "none"
--
-- Replies start with a name and the server's time, which already has the service's offset added.

local STATE, REQUEST, TICKET, DECISIONS, OUTBOX = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local MOST_CLOCK_ERROR_US = 250000
local TICKET_MS = 20
local REQUEST_KEPT_S = 86400
local IDS_KEPT_S = 2 * 86400 + 3600
local AT_ONCE = 2000  -- arguments; Lua passes some 8,000 at most

local offset_us, now_us, expected, state, ttl_ms, ticket, body_hash, decision_id, record, outbox, ids, events, takes =
  unpack(cmsgpack.unpack(ARGV[1]), 1, 13)

local clock = redis.call('TIME')
local server_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2]) + offset_us

-- A request that was answered before is answered the same, whatever has changed since.
if body_hash ~= '' then
  local answered = redis.call('GET', REQUEST)
  if answered then
    local first_hash, first_id, entry = unpack(cmsgpack.unpack(answered), 1, 3)
    local kept = entry ~= '' and redis.call('XRANGE', DECISIONS, entry, entry)[1]
    return {'repeated', server_us, first_hash, first_id, kept and kept[2][4] or false}
  end
end

local header = redis.call('GETRANGE', STATE, 0, 31)
local version, last_us = string.sub(header, 1, 16), 0
if header ~= '' then
  last_us = tonumber(string.sub(header, 17, 32))
  if #header < 32 or not last_us then
    return redis.error_reply('CORRUPT the state at ' .. STATE .. ' has no version and time')
  end
end

-- A fast worker would free windows early, a slow one hold them.
if math.abs(now_us - server_us) > MOST_CLOCK_ERROR_US then
  return {'clock_off', server_us, last_us}
end

local function moved(held_ms)
  -- Who waits for another's ticket asks often: the state travels only where it is news.
  local state = ''
  if version ~= expected then
    state = redis.call('GET', STATE)
  end
  return {'moved', server_us, state, held_ms}
end

local holder = redis.call('GET', TICKET)
if holder and holder ~= ticket then
  return moved(math.max(redis.call('PTTL', TICKET), 1))
end
if version ~= expected then
  if ticket ~= '' and not holder then
    redis.call('SET', TICKET, ticket, 'PX', TICKET_MS)
  end
  return moved(0)
end

-- The state is the one that was decided on, but at a time before its last commit: a past that others have counted.
if now_us < last_us then
  return {'clock_off', server_us, last_us}
end

-- An event that was stored before is not stored again. Who sent it is told which, and sends the others. The ids of a day
-- are looked for until the next day is over.
local begun
if ids then
  local known = {}
  for number = 6, 7 do
    local there = redis.call('EXISTS', KEYS[number]) == 1
    begun = begun or (number == 6 and there)
    for first = 1, there and #ids or 0, AT_ONCE do
      local some = redis.call('HMGET', KEYS[number], unpack(ids, first, math.min(first + AT_ONCE - 1, #ids)))
      for place, stored in ipairs(some) do
        if stored then
          known[#known + 1] = first + place - 1
        end
      end
    end
  end
  if #known > 0 then
    return {'known', server_us, known}
  end
end

-- All that the answer takes from budgets is there, or nothing of it is written.
local first_account = ids and 8 or 5
if takes then
  local left, short = {}, false
  for place, count in ipairs(takes) do
    left[place] = tonumber(redis.call('HGET', KEYS[first_account + place], 'left') or '0')
    short = short or left[place] < count
  end
  if short then
    return {'short', server_us, left}
  end
end

-- From here on it is written. The streams go first: they alone could be refused for more than memory.
local entry = ''
if record ~= '' then
  entry = redis.call('XADD', DECISIONS, '*', 'd', decision_id, 'r', record)
end
for _, message in ipairs(outbox) do
  redis.call('XADD', OUTBOX, '*', 'm', message)
end
if ids then
  local stored = ''
  if events ~= '' then
    stored = redis.call('XADD', KEYS[8], '*', 'c', string.match(STATE, ':c:(.*)$'), 'e', events)
  end
  local marks = {}
  for _, id in ipairs(ids) do
    marks[#marks + 1] = id
    marks[#marks + 1] = stored
  end
  for first = 1, #marks, AT_ONCE do
    redis.call('HSET', KEYS[6], unpack(marks, first, math.min(first + AT_ONCE - 1, #marks)))
  end
  if not begun then
    redis.call('EXPIRE', KEYS[6], IDS_KEPT_S)
  end
end
if state ~= '' then
  last_us = now_us
  if ttl_ms > 0 then
    redis.call('SET', STATE, state, 'PX', ttl_ms)
  else
    redis.call('SET', STATE, state)
  end
end
if takes then
  for place, count in ipairs(takes) do
    redis.call('HINCRBY', KEYS[first_account + place], 'left', -count)
  end
end
if body_hash ~= '' then
  redis.call('SET', REQUEST, cmsgpack.pack({body_hash, decision_id, entry}), 'EX', REQUEST_KEPT_S)
end
if holder then
  redis.call('DEL', TICKET)
end
return {'committed', server_us, last_us}
