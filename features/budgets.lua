-- One step of dealing out a budget. Each touches one key: the budget's counter, or a partition's account.
--
-- A transfer takes three steps, as counter and account may lie on different nodes: it is debited where it comes from,
-- with a note that it is under way; credited where it goes; and the note is struck out. Transfers of one direction
-- between the two are numbered, and a new one begins only when the note of the last is gone. So a credit is done once
-- however often it is tried: only a number higher than the last counts. Whoever dies in between leaves the note, and
-- who comes next finishes it.
--
-- The counter   given         what is with the accounts, or was taken from them
--               moves         how many debits and credits there have been
--               number:<p>    of the last transfer to partition p
--               open:<p>      how much that was, until its note is struck out
--               back:<p>      number of the last transfer that came back from p
-- An account    left          what may be taken from it
--               number        of the last transfer credited
--               returned      number of the last transfer back
--               returning     how much that was, until its note is struck out
--
-- KEYS  1 the counter or the account
-- ARGV  1 the step, then what it asks for below; a lifetime of 0 ms is for ever

local KEY, step = KEYS[1], ARGV[1]
local steps = {}

local function number(field)
  return tonumber(redis.call('HGET', KEY, field) or '0')
end

local function keep(ms)
  if tonumber(ms) > 0 then
    redis.call('PEXPIRE', KEY, ms)
  end
end

-- From the counter to a partition: the transfer that is under way, else a new one of an equal share of what is left,
-- but at least what is needed, and never more than there is.
function steps.give(partition, limit, shares, needed, ms)
  local open = redis.call('HGET', KEY, 'open:' .. partition)
  if open then
    return {number('number:' .. partition), tonumber(open)}
  end
  local left = tonumber(limit) - number('given')
  if left <= 0 then
    return {0, 0}
  end
  local units = math.min(left, math.max(tonumber(needed), math.floor(left / tonumber(shares))))
  local transfer = number('number:' .. partition) + 1
  redis.call('HSET', KEY, 'given', number('given') + units, 'moves', number('moves') + 1,
    'number:' .. partition, transfer, 'open:' .. partition, units)
  keep(ms)
  return {transfer, units}
end

function steps.credit(transfer, units, ms)
  if number('number') < tonumber(transfer) then
    redis.call('HSET', KEY, 'left', number('left') + units, 'number', transfer)
    keep(ms)
  end
  return number('left')
end

function steps.credited(partition, transfer)
  if number('number:' .. partition) == tonumber(transfer) then
    redis.call('HDEL', KEY, 'open:' .. partition)
  end
end

-- From an account back to the counter: half of what is there, rounded up, as somebody may be about to take it.
function steps.withdraw()
  local returning = redis.call('HGET', KEY, 'returning')
  if returning then
    return {number('returned'), tonumber(returning)}
  end
  local left = number('left')
  if left <= 0 then
    return {0, 0}
  end
  local units, transfer = math.ceil(left / 2), number('returned') + 1
  redis.call('HSET', KEY, 'left', left - units, 'returned', transfer, 'returning', units)
  return {transfer, units}
end

function steps.take_back(partition, transfer, units)
  -- A counter that has expired is not begun again.
  if redis.call('EXISTS', KEY) == 1 and number('back:' .. partition) < tonumber(transfer) then
    redis.call('HSET', KEY, 'given', number('given') - units, 'moves', number('moves') + 1,
      'back:' .. partition, transfer)
  end
end

function steps.taken_back(transfer)
  if number('returned') == tonumber(transfer) then
    redis.call('HDEL', KEY, 'returning')
  end
end

return steps[step](unpack(ARGV, 2))
