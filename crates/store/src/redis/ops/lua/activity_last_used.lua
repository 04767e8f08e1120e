-- How long ago a session was used: milliseconds, or 'unknown', or 'idle'.
-- KEYS: uses, birth mark. ARGV: session, milliseconds after which absence is evidence, milliseconds to live.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGET', KEYS[1], ARGV[1])
local used = known and tonumber(string.match(known, '^(%d+) '))
if used then
  return math.max(0, now - used)
end
local birth = tonumber(redis.call('GET', KEYS[2]) or '')
if not birth then
  redis.call('SET', KEYS[2], string.format('%.0f', now), 'PX', ARGV[3])
  return redis.status_reply('unknown')
end
return redis.status_reply(now - birth < tonumber(ARGV[2]) and 'unknown' or 'idle')
