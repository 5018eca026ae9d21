#!lua flags=allow-oom
-- Extends a call's leases, each to its time to live from now on. One that is no longer live stays gone:
-- another call may have taken its place. Nothing grows, so a store that is out of memory renews too.
--
-- KEYS   1 .. n      the key of each lease
--        then        for each bounded lease, in order: its overflow key, its index key
-- ARGV   1           id of the call, 8 bytes
--        2           empty; a test gives its clock here in ms, and then no key expires
--        3 .. 2+n    '>BI6'  flags (2: bounded), time to live in ms
-- RETURNS integers: now (store ms), then for each lease 1 where it was live, else 0
-- WRITES only keys on which the id has a live lease, and their places in the index. The form of a value
-- is described in admit.lua.
local call, pack, unpk, sub = redis.call, struct.pack, struct.unpack, string.sub
local id, clock = ARGV[1], ARGV[2]
local now
if clock == '' then
  local time = call('TIME')
  now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
else
  now = tonumber(clock)
end

-- The lease on one key: what the key will hold, and its latest end. Nil where none is live.
local function renewed(key, ttl)
  local value = call('GET', key)
  if not value then return nil end
  local head, high, latest = unpk('>BI6I6', value)
  if head ~= 70 then return nil end
  local moment = math.max(now, high)
  local place = string.find(value, id, 14, true)
  while place and (place - 20) % 14 ~= 0 do
    place = string.find(value, id, place + 1, true)
  end
  if not place then return nil end
  local held = unpk('>I6', value, place - 6)
  if held < moment then return nil end
  local ends = math.max(held, moment + ttl)
  local tail = sub(value, 14, place - 7) .. sub(value, place + 8)
  local behind = #tail
  if ends < latest then
    while behind > 0 and unpk('>I6', tail, behind - 13) > ends do behind = behind - 14 end
  end
  latest = math.max(latest, ends)
  tail = sub(tail, 1, behind) .. pack('>I6', ends) .. id .. sub(tail, behind + 1)
  return pack('>BI6I6', 70, moment, latest) .. tail, latest
end

local count = #ARGV - 2
local reply, writes, companion = {now}, {}, count
for i = 1, count do
  local flags, ttl = unpk('>BI6', ARGV[2 + i])
  local value, latest = renewed(KEYS[i], ttl)
  local found = value ~= nil
  if found then writes[#writes + 1] = {KEYS[i], value, latest, flags >= 2 and KEYS[companion + 2]} end
  if flags >= 2 then
    local over, last = renewed(KEYS[companion + 1], ttl)
    if over then writes[#writes + 1] = {KEYS[companion + 1], over, last} end
    found = found or over ~= nil
    companion = companion + 2
  end
  reply[1 + i] = found and 1 or 0
end

for _, write in ipairs(writes) do
  local key, index, expiry = write[1], write[4], write[3] + 1
  local px = string.format('%.0f', expiry - now)
  if clock ~= '' then
    call('SET', key, write[2])
  else
    call('SET', key, write[2], 'PX', px)
  end
  if index then
    call('ZADD', index, 'XX', expiry, sub(key, -22))
    if clock == '' then call('PEXPIRE', index, px) end
  end
end
return reply
