"""The Redis scripts of the store: each is one atomic step. Keys and values come from the store.

Ids of events are made here, so that the call's stream and everybody's stream agree on them: time
in milliseconds and a sequence number, always later than the last one in either stream.
"""

Args = list[str | int | float]

_APPEND = """
local function parts(key)
  local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if #last == 0 then return 0, 0 end
  local ms, seq = string.match(last[1][1], '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function append(call_stream, all_stream, now_ms, keep, call_id, first)
  local ms, seq = tonumber(now_ms), -1
  for _, key in ipairs({call_stream, all_stream}) do
    local last_ms, last_seq = parts(key)
    if last_ms > ms then ms, seq = last_ms, last_seq
    elseif last_ms == ms and last_seq > seq then seq = last_seq end
  end
  local ids = {}
  for at = first, #ARGV, 3 do
    seq = seq + 1
    local id = string.format('%.0f-%.0f', ms, seq)
    local fields = {'id', id, 'type', ARGV[at], 'call_id', call_id,
                    'at', ARGV[at + 1], 'data', ARGV[at + 2]}
    redis.call('XADD', call_stream, id, unpack(fields))
    redis.call('XADD', all_stream, 'MAXLEN', '~', keep, id, unpack(fields))
    ids[#ids + 1] = id
  end
  return ids
end

local function write_fields(key, first, count)
  if count > 0 then redis.call('HSET', key, unpack(ARGV, first, first + 2 * count - 1)) end
end
"""

CREATE = (
    _APPEND
    + """
-- KEYS: call, its events, all events, live, index, token, carrier's name (may be missing)
-- ARGV: call_id, now_ms, keep, lease_ms, secret, token_ttl_ms, oldest, n, field and value n times,
--       then type, at, data of each entry. Returns the call_id that stands, and the ids of entries.
local call_id = ARGV[1]
if redis.call('EXISTS', KEYS[1]) == 1 then return {call_id} end
if KEYS[7] then
  local other = redis.call('GET', KEYS[7])
  if other then return {other} end
  redis.call('SET', KEYS[7], call_id)
end
local count = tonumber(ARGV[8])
write_fields(KEYS[1], 9, count)
redis.call('ZADD', KEYS[4], ARGV[4], call_id)
redis.call('ZADD', KEYS[5], 0, call_id)
redis.call('ZREMRANGEBYLEX', KEYS[5], '-', '(' .. ARGV[7])
redis.call('SET', KEYS[6], ARGV[5], 'PX', ARGV[6])
return {call_id, append(KEYS[2], KEYS[3], ARGV[2], ARGV[3], call_id, 9 + 2 * count)}
"""
)

WRITE = (
    _APPEND
    + """
-- KEYS: call, its events, all events, live, what was seen, token, carrier's name (may be missing)
-- ARGV: call_id, now_ms, keep, version, event_id, lease_ms ('keep' or 'end' or a number), ttl_ms,
--       n, field and value n times, then type, at, data of each entry.
-- Returns 'unknown', 'stale', or the ids of the entries.
local call_id = ARGV[1]
local version = redis.call('HGET', KEYS[1], 'version')
if not version then return 'unknown' end
if version ~= ARGV[4] then return 'stale' end
local count = tonumber(ARGV[8])
write_fields(KEYS[1], 9, count)
redis.call('SADD', KEYS[5], ARGV[5])
if KEYS[7] then redis.call('SET', KEYS[7], call_id, 'NX', 'PX', ARGV[7]) end
local ids = append(KEYS[2], KEYS[3], ARGV[2], ARGV[3], call_id, 9 + 2 * count)
if ARGV[6] == 'end' then
  redis.call('ZREM', KEYS[4], call_id)
  redis.call('DEL', KEYS[6])
  for _, key in ipairs({KEYS[1], KEYS[2], KEYS[5], KEYS[7]}) do
    redis.call('PEXPIRE', key, ARGV[7])
  end
elseif ARGV[6] ~= 'keep' then
  redis.call('ZADD', KEYS[4], ARGV[6], call_id)
end
return ids
"""
)

CLAIM = """
-- KEYS: live. ARGV: now_ms, until_ms, most, prefix of a call's key.
-- Returns call_id and version of calls whose lease ran out; theirs is put off until then.
local found = {}
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, call_id in ipairs(ids) do
  local version = redis.call('HGET', ARGV[4] .. call_id, 'version')
  if version then
    redis.call('ZADD', KEYS[1], ARGV[2], call_id)
    found[#found + 1] = {call_id, version}
  else
    redis.call('ZREM', KEYS[1], call_id)
  end
end
return found
"""

ONCE = """
-- KEYS: what was seen. ARGV: what is claimed, and the same with the claimant's own mark.
-- Returns 1 to who claims it first, however often: an answer may be lost and the claim repeated.
if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then
  return redis.call('SADD', KEYS[1], ARGV[2])
end
return redis.call('SISMEMBER', KEYS[1], ARGV[2])
"""
