-- Applies records to the cache of one customer, atomically; all keys share one cluster slot.
--
-- KEYS  1, 2  latest scores, latest recommendations
--       3, 4  their histories, newest first
--       5     the mark: hash of
--             segment, risk  what the global sets should hold (segment's key, probability or '')
--             left           JSON list of global keys that the customer is still to be taken from
--             version        counts changes of these three
--             gone1, gone2   sources of removed records, which must not come back
--       6     newest actions
-- ARGV  1  TTL of everything, ms          2  length of the histories
--       3  TTL of the mark of a removed customer, ms
--       4  key of the at-risk ranking
--       5  '', or the version whose sets are done
--       6  the segment's key in that version: if another came in between, to be taken back
--       then four per record: '1' scores, '2' recommendations, '-1' and '-2' their removal,
--       '3' an action;
--       value (of a removal: its source, or ''); segment's key; probability if at risk, or ''
--
-- Returns 0: nothing to do; 1: the newest scores given are the latest, place them;
-- or {version, segment, risk, before, left...}: place the customer so, and take them from those left;
-- before is the segment's key as it was before this call.

local ttl, depth, at_risk = ARGV[1], tonumber(ARGV[2]), ARGV[4]
local fields = redis.call('HMGET', KEYS[5], 'segment', 'risk', 'left', 'version', 'gone1', 'gone2')
local segment, risk = fields[1] or '', fields[2] or ''
local before = segment
local left = fields[3] and cjson.decode(fields[3]) or {}
local version = tonumber(fields[4] or 0)
local gone = {fields[5], fields[6]}
local placed, changed = false, false

local function parse(json)
  if not json or json == '' then return nil end
  local ok, source = pcall(cjson.decode, json)
  if not ok then return nil end
  source.json = json
  return source
end

-- Matched, not decoded with the rest: a value is many times the size of its source.
local function source_of(value)
  return value and parse(string.match(value, '"source"%s*:%s*(%b{})'))
end

local names = {'epoch', 'offset', 'step', 'due', 'index'}
local defaults = {0, 0, 1, 0, 0}

local function compare(mine, other)
  if not other then return 1 end
  for i = 1, 5 do
    local a, b = mine[names[i]] or defaults[i], other[names[i]] or defaults[i]
    if a ~= b then return a < b and -1 or 1 end
  end
  return 0
end

local function leave(key)
  if key == '' then return end
  for _, known in ipairs(left) do
    if known == key then return end
  end
  table.insert(left, key)
end

local function stay(key)
  for i, known in ipairs(left) do
    if known == key then table.remove(left, i) return end
  end
end

local function place(to_segment, to_risk)
  placed = true
  if to_segment == segment and to_risk == risk then return end
  if to_segment ~= segment then leave(segment) stay(to_segment) end
  if to_risk ~= '' then stay(at_risk) elseif risk ~= '' then leave(at_risk) end
  segment, risk, changed = to_segment, to_risk, true
end

local function insert(history, value, mine)
  local entries = redis.call('LRANGE', history, 0, -1)
  for i, entry in ipairs(entries) do
    local order = compare(mine, source_of(entry))
    if order == 0 then redis.call('LSET', history, i - 1, value) return end
    if order > 0 then
      redis.call('LINSERT', history, 'BEFORE', entry, value)
      redis.call('LTRIM', history, 0, depth - 1)
      return
    end
  end
  if #entries < depth then redis.call('RPUSH', history, value) end
end

local function write(kind, value, to_segment, to_risk)
  local latest, history, mine = KEYS[kind], KEYS[kind + 2], source_of(value)
  if gone[kind] and compare(mine, parse(gone[kind])) <= 0 then return end
  -- The latest first: where a server evicts, a history may be gone, and its new head is an old one.
  local newest = redis.call('GET', latest) or redis.call('LINDEX', history, 0)
  local order = compare(mine, source_of(newest))
  if order <= 0 then
    insert(history, value, mine)
  elseif redis.call('LPUSH', history, value) > depth then
    redis.call('LTRIM', history, 0, depth - 1)
  end
  redis.call('PEXPIRE', history, ttl)
  if order < 0 then return end
  redis.call('SET', latest, value, 'PX', ttl)
  if kind == 1 then place(to_segment, to_risk) end
end

local function act(value)
  if gone[1] and segment == '' then return end  -- of a customer who was removed
  insert(KEYS[6], value, source_of(value))
  redis.call('PEXPIRE', KEYS[6], ttl)
end

local function bury(kind, source)
  if source and compare(source, parse(gone[kind])) > 0 then
    gone[kind], changed = source.json, true
  end
end

-- Without a source of its own, a removal takes all that is there.
local function remove(kind, source)
  local latest, history = KEYS[kind], KEYS[kind + 2]
  local stored = source_of(redis.call('GET', latest))
  bury(kind, source or stored)
  if source and stored and compare(stored, source) > 0 then
    for _, entry in ipairs(redis.call('LRANGE', history, 0, -1)) do
      local order = compare(source, source_of(entry))
      if order >= 0 then redis.call('LREM', history, 1, entry) end
    end
    return
  end
  redis.call('DEL', latest, history)
  if kind == 2 then return end
  redis.call('DEL', KEYS[6])
  leave(segment)
  leave(at_risk)
  segment, risk, placed, changed = '', '', false, true
end

local overtaken = false
if ARGV[5] ~= '' then
  if tonumber(ARGV[5]) == version then
    left = {}
    redis.call('HDEL', KEYS[5], 'left')
  else
    if ARGV[6] ~= segment then leave(ARGV[6]) end
    if risk == '' then leave(at_risk) end
    overtaken, changed = true, true
  end
end
for i = 7, #ARGV, 4 do
  local kind = tonumber(ARGV[i])
  if kind == 3 then
    act(ARGV[i + 1])
  elseif kind > 0 then
    write(kind, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  else
    local source = parse(ARGV[i + 1])
    remove(-kind, source)
    if kind == -1 then remove(2, source) end
  end
end
if changed then
  version = version + 1
  redis.call('HSET', KEYS[5], 'segment', segment, 'risk', risk, 'version', version)
  if #left > 0 then
    redis.call('HSET', KEYS[5], 'left', cjson.encode(left))
  else
    redis.call('HDEL', KEYS[5], 'left')
  end
  for kind = 1, 2 do
    if gone[kind] then redis.call('HSET', KEYS[5], 'gone' .. kind, gone[kind]) end
  end
end
if placed then
  redis.call('PEXPIRE', KEYS[5], ttl)
elseif segment == '' then
  redis.call('PEXPIRE', KEYS[5], ARGV[3])
end
if overtaken or #left > 0 then return {version, segment, risk, before, unpack(left)} end
return placed and 1 or 0
