-- Write one experiment's part of a batch if everything it was computed from is unchanged; all or nothing.
-- Rows, numbers and times are opaque text here: only the sums of cells are ever read as numbers.
-- KEYS[1]    meta (hash): store, entries      KEYS[2]   decisions (hash)   KEYS[3]   calls (hash)
-- KEYS[4]    effects (hash)                   KEYS[5]   units (hash)       KEYS[6]   tries (set)
-- KEYS[7]    feedback (zset)                  KEYS[8]   numbers (zset)     KEYS[9]   digests (zset)
-- KEYS[10]   traffic (hash)                   KEYS[11]  counted (zset)     KEYS[12..] cells of one epoch each (hash)
-- ARGV[1]    identity of the store
-- ARGV[2]    identity that the writer saw in meta; '' for a new ledger
-- ARGV[3..]  lists, each as its number of texts followed by these:
--   seen     decision numbers not there; call numbers not there; number, effects (or ''); digest, unit (or '');
--            tries not there
--   write    number, decision; number, call; number, effects; digest, unit; tries; number, feedback;
--            traffic field, increment; index into KEYS, epoch, cell field, sums to add
-- Returns 1 if written, 0 if something changed meanwhile.
local STEP = 1000 -- texts given to one command; unpack has a limit

local at = 2
local function list()
  at = at + 1
  local size, from = tonumber(ARGV[at]), at + 1
  at = at + size
  return from, at
end

local function unchanged(key, from, to)
  for start = from, to, STEP do
    local fields, seen = {}, {}
    for i = start, math.min(start + STEP - 1, to), 2 do
      fields[#fields + 1], seen[#seen + 1] = ARGV[i], ARGV[i + 1]
    end
    for i, value in ipairs(redis.call('HMGET', key, unpack(fields))) do
      if (value or '') ~= seen[i] then
        return false
      end
    end
  end
  return true
end

local function absent(command, key, from, to)
  for start = from, to, STEP do
    for _, value in ipairs(redis.call(command, key, unpack(ARGV, start, math.min(start + STEP - 1, to)))) do
      if value and value ~= 0 then
        return false
      end
    end
  end
  return true
end

if (redis.call('HGET', KEYS[1], 'store') or '') ~= ARGV[2] then
  return 0
end
if not absent('HMGET', KEYS[2], list()) or not absent('HMGET', KEYS[3], list()) then
  return 0
end
if not unchanged(KEYS[4], list()) or not unchanged(KEYS[5], list()) then
  return 0
end
if not absent('SMISMEMBER', KEYS[6], list()) then
  return 0
end
-- A key of a wrong type must fail here, before the first write.
for _, key in ipairs({KEYS[7], KEYS[8], KEYS[9], KEYS[11]}) do
  redis.call('ZCARD', key)
end
redis.call('SCARD', KEYS[6])
for i = 2, #KEYS do
  if i < 6 or i == 10 or i > 11 then
    redis.call('HLEN', KEYS[i])
  end
end

local function put(key, from, to)
  for start = from, to, STEP do
    redis.call('HSET', key, unpack(ARGV, start, math.min(start + STEP - 1, to)))
  end
end

local function index(key, from, to, stride)
  for start = from, to, STEP do
    local members = {}
    for i = start, math.min(start + STEP - 1, to), stride do
      members[#members + 1] = '0'
      members[#members + 1] = ARGV[i]
    end
    redis.call('ZADD', key, unpack(members))
  end
end

local function added(stored, change)
  if not stored then
    return change
  end
  local sums, old = {}, string.gmatch(stored, '%S+')
  for new in string.gmatch(change, '%S+') do
    sums[#sums + 1] = string.format('%.17g', tonumber(old()) + tonumber(new))
  end
  return table.concat(sums, ' ')
end

redis.call('HSET', KEYS[1], 'store', ARGV[1])
for _, key in ipairs({KEYS[2], KEYS[3]}) do
  local from, to = list()
  put(key, from, to)
  index(KEYS[8], from, to, 2)
end
put(KEYS[4], list())
local from, to = list()
put(KEYS[5], from, to)
index(KEYS[9], from, to, 2)
from, to = list()
for start = from, to, STEP do
  redis.call('SADD', KEYS[6], unpack(ARGV, start, math.min(start + STEP - 1, to)))
end
from, to = list()
local entry = 0
if to > from then
  entry = redis.call('HINCRBY', KEYS[1], 'entries', (to - from + 1) / 2) - (to - from + 1) / 2
end
for i = from, to, 2 do
  entry = entry + 1
  redis.call('ZADD', KEYS[7], '0', string.format('%s:%016.0f:%s', ARGV[i], entry, ARGV[i + 1]))
end
from, to = list()
for i = from, to, 2 do
  redis.call('HINCRBY', KEYS[10], ARGV[i], ARGV[i + 1])
end
from, to = list()
for i = from, to, 4 do
  local key, field = KEYS[tonumber(ARGV[i])], ARGV[i + 2]
  redis.call('HSET', key, field, added(redis.call('HGET', key, field), ARGV[i + 3]))
  redis.call('ZADD', KEYS[11], ARGV[i + 1], ARGV[i + 1])
end
return 1
