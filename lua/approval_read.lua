#!lua flags=no-writes
-- Looks at requests, all at one time.
--
-- KEYS   1 count of changes (it names the node to ask), then for each request: record, arguments
-- ARGV   1 empty; a test gives its clock here in ms
--        2 empty; a test names the server here
-- RETURNS now (store ms), the server's name, then for each key behind the first its value, or nil.
--        The form of a value is described in approval_open.lua.
local call, unpk, sub = redis.call, struct.unpack, string.sub
local clock, run = ARGV[1], ARGV[2]
local now
if clock == '' then
  local time = call('TIME')
  now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
  local told = redis.pcall('INFO', 'server')
  run = type(told) == 'string' and string.match(told, 'run_id:(%x+)') or ''
else
  now = tonumber(clock)
end

local reply = {now, run}
for i = 2, #KEYS do
  local value = call('GET', KEYS[i])
  reply[1 + i] = value and now < unpk('>I6', value) and sub(value, 7)
end
return reply
