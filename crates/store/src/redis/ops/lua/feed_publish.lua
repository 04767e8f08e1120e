-- Appends changes and forgets those that cannot matter any more.
-- KEYS: stream. ARGV: milliseconds to live, most entries, sealed change...
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = string.format('%.0f', math.max(0, now - tonumber(ARGV[1])))
for i = 3, #ARGV do
  redis.call('XADD', KEYS[1], 'MINID', '~', oldest, '*', 'v', ARGV[i])
end
redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.status_reply('OK')
