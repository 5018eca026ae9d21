#!lua
-- Judges all charges of one call and makes all of them or none. One atomic step.
-- The rules are stated in src/counters/model.rs; a property test compares every reply with it.
--
-- KEYS   1 .. n      one key for each charge, all different, all in one hash slot
--        then        for each bounded charge, in order: its overflow key, its index key
-- ARGV   1           id of the call, 8 bytes
--        2           '>I6I6B'  deadline (store ms, 0 none), first sent (store ms, 0 for a first send),
--                    flags (1: peek, charge nothing)
--        3           empty; a test gives its clock here in ms, and then no key expires
--        4 .. 3+n    '>BBI7I7I6I6I4'  kind, flags (1: advisory, 2: bounded), weight, max, a, b,
--                    max_values (0 where not bounded), followed for kinds 1 and 3 by the life of the key
--                    in ms as decimal text: a + 1, or 2a + 2 for kind 1 where bounded
--                    kind 1 window    a = length in ms
--                    kind 2 calendar  [a, b) in store ms
--                    kind 3 lease     a = time to live in ms; weight 1, max at most 1000
-- RETURNS integers: outcome, now (store ms), then
--        outcome 0 limited, 1 admitted, 2 already admitted: three for each charge: left, ms until the
--          next unit frees (0: nothing held), ms until the charge fits (0: it does, -1: never); behind them
--          under outcome 2 when it was charged (the earliest of its keys' times; 0: it holds leases alone)
--        outcome 5 stale: for each charge the time that its calendar interval must hold
--        outcome 3 in doubt, 4 late, 6 unsupported form: nothing more
-- WRITES only under outcome 1 without peek; every read and check comes before the first write.
--
-- A value holds the charges of one key in order of time, after its high water: the latest time at
-- which anything was charged. Times t are kept modulo 256^tw and read back from the high water.
--   16+tw  high water I6, then for each charge: t, id            (every weight is 1)
--   32+tw  high water I6, total I7, slots B, then for each slot: t, weight I7 (merged, without ids),
--          then for each charge: t, weight I7, id
-- tw is 3, 4 or 6 bytes, whatever the longest age needs.
--   70     the leases of a kind 3 key: high water I6, the latest end that a lease had here I6, then for
--          each lease, in order of their ends: end I6 (the last ms at which it is live), id
local call, pack, unpk, sub = redis.call, struct.pack, struct.unpack, string.sub
local id, clock = ARGV[1], ARGV[3]
local deadline, first_sent, flags = unpk('>I6I6B', ARGV[2])

local now
if clock == '' then
  local time = call('TIME')
  now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
else
  now = tonumber(clock)
end
if deadline > 0 and now > deadline then return {4, now} end

local count = #ARGV - 3
local only, values
if #KEYS == 1 then
  only = call('GET', KEYS[1])
else
  values = call('MGET', unpack(KEYS))
end

-- Pass one: where each key stands and what it would hold. Nothing is written.
-- (The nils make room: a table that grows is slow.)
local reply = {0, now, nil, nil, nil, nil, nil, nil, nil, nil, nil}
local writes, moments = {nil, nil, nil}, nil
local companion, at = count, 2
local denied, stale, certain, held, charged = false, false, false, false, 0
for i = 1, count do
  local arg = ARGV[3 + i]
  local kind, special, weight, max, a = unpk('>BBI7I7I6', arg)
  local advisory, life, b, index = special % 2 == 1, nil, nil, nil
  local key, value = KEYS[i], only
  if values then value = values[i] end
  if kind == 1 then
    life = a + 1
  elseif kind == 2 then
    b = unpk('>I6', arg, 23)
  elseif kind == 3 and weight == 1 and max <= 1000 then
    life = a + 1
  else
    return {6, now}
  end

  if special >= 2 then
    local max_values = unpk('>I4', arg, 29)
    -- A value that is not live gets a key of its own while there is room, else the overflow key. Its own
    -- key starts as a copy of the overflow key: charges there may have been its own. It lives for two
    -- windows (until the latest end of its leases), so that what others charged to the overflow key cannot spoil a retry time given before.
    local over = values[companion + 1]
    index = KEYS[companion + 2]
    local live = false
    if value then
      local _, high = unpk('>BI6', value)
      if kind == 3 then
        live = unpk('>I6', value, 8) >= now
      else
        live = kind == 1 and high + 2 * a + 2 > now or kind == 2 and high >= a
      end
    end
    if not live then
      value = over
      if call('ZCOUNT', index, string.format('(%.0f', now), '+inf') >= max_values then
        key, index = KEYS[companion + 1], nil
      end
    end
    companion = companion + 2
    if kind ~= 3 then life = kind == 1 and 2 * a + 2 end
  end

  -- form 0: nothing held; 1: weights are all 1; 2: weights and slots.
  local form, tw, mod, tf = 0, 6, 281474976710656, '>I6'
  local high, moment, cut = -1, now, nil
  if value then
    local head
    head, high = unpk('>BI6', value)
    form = 1
    if head >= 32 then form, head = 2, head - 16 end
    tw = head - 16
    if high > now then moment = high end
  end
  local ttl
  if kind == 1 then
    cut = moment - a
  elseif kind == 3 then
    -- From here on a window of no length, whose charges have the times of the leases' ends.
    ttl, a, cut = a, 0, moment
    if value then
      if tw ~= 38 then return {6, now} end
      form, tw, high = 1, 6, unpk('>I6', value, 8)
    end
  else
    cut = a
    if moment < a or moment >= b then stale = true end
    moments = moments or {}
    moments[i] = moment
  end
  if high < cut then
    -- Nothing is held, or nothing counts any more: the key starts afresh.
    form = 0
    local longest = kind == 1 and a or ttl and mod or b - a
    if longest < 16777216 then tw = 3 elseif longest < 4294967296 then tw = 4 else tw = 6 end
  end
  if tw == 3 then
    mod, tf = 16777216, '>I3'
  elseif tw == 4 then
    mod, tf = 4294967296, '>I4'
  elseif tw ~= 6 then
    return {6, now}
  end

  -- from: where in the value counting starts; size: bytes of one charge; slots: merged ones that count.
  local used, oldest, from, size, slots, length = 0, nil, 8, tw + 8, 0, 0
  local ids, lost = 8, -1
  if form == 1 then
    length = #value
    if ttl then from, ids = 14, 14 end
    while from <= length do
      oldest = high - (high - unpk(tf, value, from)) % mod
      if oldest >= cut then break end
      from, oldest = from + size, nil
    end
    used = (length - from + 1) / size
  elseif form == 2 then
    length = #value
    used, slots = unpk('>I7B', value, 8)
    from, size = 16, tw + 15
    ids = 16 + slots * (tw + 7)
    if slots > 0 then
      lost = high - (high - unpk(tf, value, ids - tw - 7)) % mod
    end
    while from <= length do
      oldest = high - (high - unpk(tf, value, from)) % mod
      if oldest >= cut then break end
      used = used - unpk('>I7', value, from + tw)
      if slots > 0 then
        slots, from = slots - 1, from + tw + 7
      else
        from = from + size
      end
      oldest = nil
    end
  end

  if first_sent > 0 then
    -- A resend: is its id held, and if not, would it be?
    if form > 0 then
      local place = string.find(value, id, ttl and from or ids, true)
      while place and (place + 8 - ids) % size ~= 0 do
        place = string.find(value, id, place + 1, true)
      end
      if place then held = true end
      if place and not ttl then
        local at = high - (high - unpk(tf, value, place + 8 - size)) % mod
        if charged == 0 or at < charged then charged = at end
      end
    end
    if not advisory and first_sent >= (ttl and moment - ttl or cut) and first_sent > lost then certain = true end
  end

  local room, wait = max - used, 0
  if weight > max then
    wait = -1
  elseif weight > room then
    if kind == 2 then
      wait = b - now
    else
      -- The charge fits when this many units have freed.
      local need, place, left, free = weight - room, from, slots, nil
      if form == 1 then
        free = unpk(tf, value, from + (need - 1) * size)
      else
        while need > 0 do
          free = unpk(tf, value, place)
          need = need - unpk('>I7', value, place + tw)
          if left > 0 then
            left, place = left - 1, place + tw + 7
          else
            place = place + size
          end
        end
      end
      wait = high - (high - free) % mod + a + 1 - now
    end
  end
  local frees = 0
  if oldest then frees = kind ~= 2 and oldest + a + 1 - now or b - now end
  if wait ~= 0 then
    if not advisory then denied = true end
  elseif not denied and flags % 2 == 0 then
    -- What the key holds once charged. It is written when all charges are known to fit.
    local expiry = life and moment + life or b
    local stamp = pack(tf, moment % mod)
    if ttl then
      -- Mostly behind all others; a key on which leases differ in length keeps their order.
      local ends, tail = moment + ttl, form == 1 and sub(value, from) or ''
      local place = #tail
      if ends < high then
        while place > 0 and unpk('>I6', tail, place - 13) > ends do place = place - 14 end
        expiry, life = high + 1, nil
      end
      tail = sub(tail, 1, place) .. pack('>I6', ends) .. id .. sub(tail, place + 1)
      value = pack('>BI6I6', 70, moment, expiry - 1) .. tail
    elseif used == 0 and weight == 1 then
      value = pack('>BI6', 16 + tw, moment) .. stamp .. id
    elseif used == 0 then
      value = pack('>BI6I7B', 32 + tw, moment, weight, 0) .. stamp .. pack('>I7', weight) .. id
    elseif form == 1 and weight == 1 and used < 128 then
      value = pack('>BI6', 16 + tw, moment) .. sub(value, from) .. stamp .. id
    else
      local tail
      if form == 1 then
        -- From the form without weights to the one with.
        local one, parts = pack('>I7', 1), {}
        for place = from, length, size do
          parts[#parts + 1] = sub(value, place, place + tw - 1) .. one .. sub(value, place + tw, place + size - 1)
        end
        tail, size = table.concat(parts), tw + 15
      else
        tail = sub(value, from)
      end
      tail = tail .. stamp .. pack('>I7', weight) .. id
      local start = slots * (tw + 7)
      if #tail - start > 128 * size then
        -- All but the newest 32 are merged, each slot taken at its latest charge.
        local width = kind == 1 and math.max(1, math.ceil(a / 64)) or 281474976710656
        local stop = #tail - 32 * size
        local merged, last, sum, place = {}, nil, 0, 1
        while place <= stop do
          local time = moment - (moment - unpk(tf, tail, place)) % mod
          local units = unpk('>I7', tail, place + tw)
          if last and math.floor(last / width) ~= math.floor(time / width) then
            merged[#merged + 1] = pack(tf, last % mod) .. pack('>I7', sum)
            sum = 0
          end
          last, sum = time, sum + units
          place = place + (place <= start and tw + 7 or size)
        end
        merged[#merged + 1] = pack(tf, last % mod) .. pack('>I7', sum)
        slots = #merged
        tail = table.concat(merged) .. sub(tail, stop + 1)
      end
      value = pack('>BI6I7B', 32 + tw, moment, used + weight, slots) .. tail
    end
    local px
    if life and moment == now then px = sub(arg, 33) else px = string.format('%.0f', expiry - now) end
    local fresh = kind ~= 2 and moment + (ttl or a) + 1 - now or b - now
    writes[i] = {key, value, px, weight, fresh, index, expiry}
  end
  if room < 0 then room = 0 end
  reply[at + 1], reply[at + 2], reply[at + 3] = room, frees, wait
  at = at + 3
end
if companion ~= #KEYS then return {6, now} end

if stale then
  reply = {5, now}
  for i = 1, count do reply[2 + i] = moments[i] or now end
  return reply
end
if first_sent > 0 then
  if held then
    reply[1] = 2
    for i = 1, count do reply[2 + 3 * i] = 0 end
    reply[3 + 3 * count] = charged
    return reply
  end
  if not certain then return {3, now} end
end
if denied then return reply end
reply[1] = 1
if flags % 2 == 1 then return reply end

-- Pass two: everything fits, except shadow charges, which are then not made.
for i = 1, count do
  local write = writes[i]
  if write then
    local key, index = write[1], write[6]
    if clock ~= '' then
      call('SET', key, write[2])
    else
      call('SET', key, write[2], 'PX', write[3])
    end
    if index then
      if call('ZADD', index, write[7], sub(key, -22)) == 1 then
        call('ZREMRANGEBYSCORE', index, '-inf', now)
      end
      if clock == '' then call('PEXPIRE', index, write[3]) end
    end
    local state = 3 * i
    reply[state] = reply[state] - write[4]
    if reply[state + 1] == 0 or reply[state + 1] > write[5] then reply[state + 1] = write[5] end
  end
end
return reply
