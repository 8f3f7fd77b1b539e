-- Change the state if it is still what the writer saw; all of it or nothing.
-- KEYS[1]    meta (hash): store, version
-- KEYS[2]    audit (list)
-- KEYS[3..]  hashes that are checked or written
-- ARGV[1]    identity of the store
-- ARGV[2]    state version that the writer saw; '' for a write that makes no new version
-- ARGV[3]    audit entry; '' for none
-- ARGV[4]    number of checks, then for each: index into KEYS, field, value seen ('' for none)
-- ARGV[..]   then for each write: index into KEYS, field, new value
-- Returns the state version; -1 if something changed meanwhile, -2 if this is another store.
local meta = redis.call('HMGET', KEYS[1], 'store', 'version')
if meta[1] ~= ARGV[1] then
  return -2
end
if ARGV[2] ~= '' and meta[2] ~= ARGV[2] then
  return -1
end

local at = 5
for _ = 1, tonumber(ARGV[4]) do
  local stored = redis.call('HGET', KEYS[tonumber(ARGV[at])], ARGV[at + 1])
  if (stored or '') ~= ARGV[at + 2] then
    return -1
  end
  at = at + 3
end

-- A key of a wrong type must fail here, before the first write.
local first_write = at
while at <= #ARGV do
  redis.call('HEXISTS', KEYS[tonumber(ARGV[at])], ARGV[at + 1])
  at = at + 3
end
if ARGV[3] ~= '' then
  redis.call('LLEN', KEYS[2])
end

local version = tonumber(meta[2])
if ARGV[2] ~= '' then
  version = redis.call('HINCRBY', KEYS[1], 'version', 1)
end
for write = first_write, #ARGV, 3 do
  redis.call('HSET', KEYS[tonumber(ARGV[write])], ARGV[write + 1], ARGV[write + 2])
end
if ARGV[3] ~= '' then
  redis.call('LPUSH', KEYS[2], ARGV[3])
end
return version
