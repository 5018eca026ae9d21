#!lua flags=allow-oom
-- Takes a call's charges back, or gives its leases back when it has ended. Each key keeps its high water and its expiry, so that a clock that steps
-- back cannot reopen a window; it is never deleted here.
--
-- KEYS   every key that the call may have charged or holds a lease on, overflow keys included
-- ARGV   1   id of the call, 8 bytes
-- RETURNS integers: on how many keys the id was still held, now (store ms)
-- WRITES only keys on which the id is held. The forms of a value are described in admit.lua.
local call, unpk, sub = redis.call, struct.unpack, string.sub
local id = ARGV[1]
local time = call('TIME')
local now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000

local changed = {}
for i, key in ipairs(KEYS) do
  local value = call('GET', key)
  if value then
    local head, high = unpk('>BI6', value)
    local ids, size, tw = 8, 8, head - 16
    local total, slots
    if head == 70 then
      ids, tw = 14, 6
    elseif head >= 32 then
      tw = head - 32
      total, slots = unpk('>I7B', value, 8)
      ids, size = 16 + slots * (tw + 7), 15
    end
    size = size + tw
    local place = string.find(value, id, ids, true)
    while place and (place + 8 - ids) % size ~= 0 do
      place = string.find(value, id, place + 1, true)
    end
    if place then
      local start = place + 8 - size
      local body = sub(value, ids, start - 1) .. sub(value, place + 8)
      if total then
        total = total - unpk('>I7', value, start + tw)
        body = struct.pack('>BI6I7B', head, high, total, slots) .. sub(value, 16, ids - 1) .. body
      else
        body = sub(value, 1, ids - 1) .. body
      end
      changed[#changed + 1] = {key, body}
    end
  end
end
for _, change in ipairs(changed) do
  call('SET', change[1], change[2], 'KEEPTTL')
end
return {#changed, now}
