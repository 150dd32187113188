-- Takes from all counters or from none, and keeps what a gateway says it has of each.
--
-- KEYS: counters. ARGV: the gateway's life, its journal's sequence, the milliseconds that it is believed to live; then
-- nine for each counter: field, version, limit, spent, leased, held of what is asked for, floor, need, kind.
-- `spent` and `leased` are absolute, so a call that is repeated or lost does no harm. Of `need` at least `floor` must be
-- there. Kind: budget (must have a base), soft (a budget that refuses nothing), minute (forgotten after two), parallel (a gateway that is silent counts no more).
-- Returns what happened, which counter it was, since when Valkey knows what it knows (see billing/windows.py), and what
-- was granted of each. A part that is `recounted` is in the base too: until its gateway has said what is right, what
-- looks spent is only not counted. All numbers are whole and below 2^53.
local EACH = 9
local SHARE, MANY = 64, 1023 -- Far from the limit a lease is worth 1,024 requests; near it, what is asked for.
local life, sequence, alive_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(value) return string.format('%.0f', value) end

redis.call('SET', 'tokenworks:began', whole(now), 'NX')
local began = redis.call('GET', 'tokenworks:began')

local function others(key, row)
  local spent, leased, based, twice = 0, 0, row.kind ~= 'budget', 0
  local fields = redis.call('HGETALL', key)
  for j = 1, #fields, 2 do
    local name, value = fields[j], fields[j + 1]
    if name == 'base' then
      spent, based = spent + tonumber(value), true
    else
      local its_life, version, its_spent, its_leased, expires = string.match(value, '^(%S+) (%S+) (%S+) (%S+) %S+ (%S+)$')
      if name == row.field then
        if its_life ~= life then return nil, 'earlier' end
        if tonumber(version) > tonumber(row.version) then return nil, 'late' end
      elseif expires == '0' or tonumber(expires) > now then
        spent, leased = spent + tonumber(its_spent), leased + tonumber(its_leased)
        if its_life == 'recounted' then twice = twice + tonumber(its_spent) end
      end
    end
  end
  return { spent = spent, leased = leased, based = based, twice = twice }
end

local function judged(row, found)
  local spent = found.spent + row.spent
  row.left = row.limit - spent - found.leased - row.leased
  if not found.based then return 'uncounted' end
  if row.need == 0 then return 'taken' end
  if row.left < row.need and found.twice > 0 then return 'uncounted' end
  if row.left < row.floor then
    return spent + row.own + row.floor > row.limit and 'spent' or 'held'
  end
  if row.left < row.need and row.limit - spent >= row.own + row.need then return 'held' end
  return 'taken'
end

local rows, outcome, at = {}, 'taken', 0
for i, key in ipairs(KEYS) do
  local a = 3 + (i - 1) * EACH
  local row = {
    field = ARGV[a + 1], version = ARGV[a + 2], limit = tonumber(ARGV[a + 3]), spent = tonumber(ARGV[a + 4]),
    leased = tonumber(ARGV[a + 5]), own = tonumber(ARGV[a + 6]), floor = tonumber(ARGV[a + 7]),
    need = tonumber(ARGV[a + 8]), kind = ARGV[a + 9],
  }
  local found, problem = others(key, row)
  if not found then return { problem, i, began } end
  local result = judged(row, found)
  if outcome == 'taken' and result ~= 'taken' then outcome, at = result, i end
  rows[i] = row
end

local reply = { outcome, at, began }
for i, key in ipairs(KEYS) do
  local row, grant = rows[i], 0
  if outcome == 'taken' and row.need > 0 then
    grant = math.max(math.min(row.need, row.left), math.min(math.floor(row.left / SHARE), row.need * MANY))
  end
  local expires = row.kind == 'parallel' and whole(now + alive_ms) or '0'
  redis.call('HSET', key, row.field, table.concat(
    { life, row.version, whole(row.spent), whole(row.leased + grant), sequence, expires }, ' '))
  if row.kind == 'budget' or row.kind == 'soft' then
    redis.call('SADD', 'tokenworks:journal:' .. row.field, key)
  else
    redis.call('EXPIRE', key, row.kind == 'minute' and 120 or 3600)
  end
  reply[i + 3] = grant
end
return reply
