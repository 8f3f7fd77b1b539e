-- Recognise the store, or make a new one where nothing is.
-- KEYS[1]    meta (hash): schema, store, version
-- KEYS[2..]  the other keys of the state: none may be there before meta is
-- ARGV[1]    schema version of this release
-- ARGV[2]    identity for a new store
-- Returns {schema, identity}; both '' where the keys belong to another program.
local found = redis.call('HMGET', KEYS[1], 'schema', 'store')
if found[1] and found[2] then
  return found
end
if redis.call('EXISTS', unpack(KEYS)) > 0 then
  return {'', ''}
end
redis.call('HSET', KEYS[1], 'schema', ARGV[1], 'store', ARGV[2], 'version', '0')
return {ARGV[1], ARGV[2]}
