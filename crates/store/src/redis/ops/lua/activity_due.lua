-- Takes sessions whose end is due: session and its use in turn.
-- KEYS: uses, due list, birth mark. ARGV: most sessions, milliseconds to live.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local sessions = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])
local taken = {}
for i, session in ipairs(sessions) do
  taken[2 * i - 1], taken[2 * i] = session, redis.call('HGET', KEYS[1], session) or ''
  redis.call('ZREM', KEYS[2], session)
  redis.call('HDEL', KEYS[1], session)
end
-- The mark stays while anybody looks after the list.
local left = redis.call('PTTL', KEYS[3])
if left >= 0 and left < tonumber(ARGV[2]) / 2 then
  redis.call('PEXPIRE', KEYS[3], ARGV[2])
end
return taken
