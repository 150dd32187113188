-- Begins a counter from what Postgres says, or puts that in place of what it says itself.
--
-- KEYS: the counter. ARGV: what was used; 1 where a base that is there is replaced; the journal of a gateway that is gone
-- for good, or ''; then two for each journal: its id, and the sequence up to which the base counts its records.
-- What a gateway has said stays besides the base, so that nothing is given away twice, until it has said anew
-- what it spent behind that sequence. Returns 1, or 0 where there is a base and it stays.
local base, replaces, gone = ARGV[1], ARGV[2] == '1', ARGV[3]
if not replaces and redis.call('HEXISTS', KEYS[1], 'base') == 1 then return 0 end

local function part_of(journal)
  local part = redis.call('HGET', KEYS[1], journal)
  if not part then return 'recounted', '0', '0', '0' end
  return string.match(part, '^(%S+) %S+ (%S+) (%S+) (%S+)')
end

local function keep(journal, life, spent, leased, sequence)
  if journal == gone then leased = '0' end
  redis.call('HSET', KEYS[1], journal, table.concat({ life, '0', spent, leased, sequence, '0' }, ' '))
end

if gone ~= '' and redis.call('HEXISTS', KEYS[1], gone) == 1 then
  local life, spent, leased, sequence = part_of(gone)
  keep(gone, life, spent, leased, sequence)
end
for i = 4, #ARGV, 2 do
  local journal, reached = ARGV[i], ARGV[i + 1]
  local _, spent, leased = part_of(journal)
  keep(journal, 'recounted', journal == gone and '0' or spent, leased, reached)
  redis.call('SADD', 'tokenworks:journal:' .. journal, KEYS[1])
end
redis.call('HSET', KEYS[1], 'base', base)
return 1
