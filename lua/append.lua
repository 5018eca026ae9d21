-- Appends lines of one chain to a stream that all replicas share, each line once.
--
-- KEYS[1]  the stream
-- KEYS[2]  number of the last line of this chain that is in it
-- ARGV[1]  about how many lines the stream keeps
-- ARGV[2]  seconds for which KEYS[2] is kept after the last line
-- ARGV[3…] number and line, in ascending order
--
-- A command whose answer was lost is sent again with the same numbers: what is there already is passed over.
-- Returns how many lines were added.
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local added = 0
for i = 3, #ARGV, 2 do
  local number = tonumber(ARGV[i])
  if number > last then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'line', ARGV[i + 1])
    last = number
    added = added + 1
  end
end
redis.call('SET', KEYS[2], string.format('%.0f', last), 'EX', ARGV[2])
return added
