-- Living replicas: replica and sealed record in turn.
-- KEYS: registry.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all, living = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local ends, record = string.match(all[i + 1], '^(%d+) (.*)$')
  if ends and tonumber(ends) > now then
    living[#living + 1] = all[i]
    living[#living + 1] = record
  end
end
return living
