-- Notes uses of sessions.
-- KEYS: uses, due list, birth mark. ARGV: most sessions, milliseconds to live, then session, idle, due, sealed ending or '' in turn.
-- A use: "<milliseconds since 1970> <sealed ending>".
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stamp = string.format('%.0f', now)
redis.call('SET', KEYS[3], stamp, 'NX')
local count, most = redis.call('HLEN', KEYS[1]), tonumber(ARGV[1])
for i = 3, #ARGV, 4 do
  local session, used, ending = ARGV[i], now - tonumber(ARGV[i + 1]), ARGV[i + 3]
  local known = redis.call('HGET', KEYS[1], session)
  if known then
    local gap = string.find(known, ' ', 1, true)
    local before = tonumber(string.sub(known, 1, gap - 1)) or 0
    if ending == '' then
      ending = string.sub(known, gap + 1)
    end
    if used >= before then
      redis.call('ZADD', KEYS[2], now + tonumber(ARGV[i + 2]), session)
    else
      used = before
    end
  elseif count < most then
    count = count + 1
    redis.call('ZADD', KEYS[2], now + tonumber(ARGV[i + 2]), session)
  else
    -- No room: from now on absence says nothing.
    redis.call('SET', KEYS[3], stamp)
    used = nil
  end
  if used then
    redis.call('HSET', KEYS[1], session, string.format('%.0f', used) .. ' ' .. ending)
  end
end
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ARGV[2])
end
return redis.status_reply('OK')
