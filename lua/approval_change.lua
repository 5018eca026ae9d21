#!lua
-- Puts one record in another's place, if that is what is there: a person's word, the use of an approval, its end.
-- Which changes are right the replica knows that sealed both; here each is made once, within its time, on the
-- server that the record was made for. src/approvals/model.rs states the rules.
--
-- KEYS   1 record  2 arguments  3 what waits of the grant  4 what has not ended  5 count of changes
-- ARGV   1 id      2 empty; a test gives its clock here in ms
--                  3 empty; a test names the server here
--        4 what must be there  5 what is to be there  6 the server that the record was made for
--        7 not before, 8 not then or later (store ms)
--        9 flags (1: it does not wait for people any more, 2: it has ended)
--        10 until when it stands (store ms)
-- RETURNS integers: 0 something else is there, 1 written now or before, 2 too early or too late,
--        4 another server took the store's place; then now (store ms)
-- WRITES only under 1. The form of a value is described in approval_open.lua.
local call, unpk, sub = redis.call, struct.unpack, string.sub
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
if run ~= ARGV[6] then return {4, now} end

local value = call('GET', KEYS[1])
if not value or now >= unpk('>I6', value) then return {0, now} end
local record = sub(value, 7)
if record == ARGV[5] then return {1, now} end
if record ~= ARGV[4] then return {0, now} end
if now < tonumber(ARGV[7]) or now >= tonumber(ARGV[8]) then return {2, now} end

call('SET', KEYS[1], sub(value, 1, 6) .. ARGV[5], 'KEEPTTL')
local flags = tonumber(ARGV[9])
if flags >= 2 then
  call('DEL', KEYS[2])
  call('ZREM', KEYS[4], id)
else
  call('ZADD', KEYS[4], ARGV[10], id)
end
if flags % 2 == 1 then call('ZREM', KEYS[3], id) end
call('INCR', KEYS[5])
return {1, now}
