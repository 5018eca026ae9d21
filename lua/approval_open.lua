#!lua
-- Opens a request: a call that waits for people. One atomic step; src/approvals/model.rs states the rules, and a
-- property test compares every answer with it.
--
-- KEYS   1 record  2 arguments  3 the call  4 what waits of the grant  5 all that is kept
--        6 what has not ended  7 count of changes
-- ARGV   1 id      2 empty; a test gives its clock here in ms, and then no key expires
--                  3 empty; a test names the server here
--        4 record  5 arguments  6 id of the call's request that this one takes the place of, or empty
--        7 the server that the record was made for
--        8 until when it stands, 9 until when it is kept (store ms)
--        10 how many of a grant may wait, 11 how many are kept in all
-- RETURNS integers: 0 something else is there, 1 written now or before, 2 its time is over, 3 full,
--        4 another server took the store's place; then now (store ms)
-- WRITES only under 1. A record, the arguments and the call's last id lie behind the time (I6) from which on
--        they count as gone.
local call, pack, unpk, sub = redis.call, struct.pack, struct.unpack, string.sub
local id, clock = ARGV[1], ARGV[2]
local now
if clock == '' then
  local time = call('TIME')
  now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
else
  now = tonumber(clock)
end

local run = ARGV[3]
if clock == '' then
  local told = redis.pcall('INFO', 'server')
  run = type(told) == 'string' and string.match(told, 'run_id:(%x+)') or ''
end
if run ~= ARGV[7] then return {4, now} end

local last = call('GET', KEYS[3])
if last then
  last = unpk('>I6', last) > now and sub(last, 7) or nil
end
last = last or ''
if last == id then return {1, now} end
if last ~= ARGV[6] then return {0, now} end

local expires, drops = tonumber(ARGV[8]), tonumber(ARGV[9])
if now >= expires then return {2, now} end
local waits, kept = call('ZCOUNT', KEYS[4], '(' .. now, '+inf'), call('ZCOUNT', KEYS[5], '(' .. now, '+inf')
if waits >= tonumber(ARGV[10]) or kept >= tonumber(ARGV[11]) then return {3, now} end

local function keep(key, value, time)
  value = pack('>I6', time) .. value
  if clock == '' then call('SET', key, value, 'PXAT', time) else call('SET', key, value) end
end
keep(KEYS[1], ARGV[4], drops)
keep(KEYS[2], ARGV[5], expires)
keep(KEYS[3], id, expires)
local function list(key, time)
  call('ZREMRANGEBYSCORE', key, '-inf', now)
  call('ZADD', key, time, id)
  if clock == '' then
    call('PEXPIREAT', key, call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
  end
end
list(KEYS[4], expires)
list(KEYS[5], drops)
-- one that has expired stays until some replica has said so, or nothing of it is kept any more
call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now - (drops - expires))
call('ZADD', KEYS[6], expires, id)
call('INCR', KEYS[7])
return {1, now}
