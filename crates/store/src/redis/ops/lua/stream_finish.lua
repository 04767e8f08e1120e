-- Says how a stream ended.
-- KEYS: head, events. ARGV: replica, epoch, sealed owner, sealed end, milliseconds to live.
local head = redis.call('HMGET', KEYS[1], 'r', 'e', 'o')
if not head[1] then
  return { 'unknown' }
end
local epoch, mine = tonumber(head[2]) or 0, tonumber(ARGV[2])
if epoch > mine or (epoch == mine and head[1] ~= ARGV[1]) then
  return { 'fenced', head[1], head[2], head[3] }
end
redis.call('HSET', KEYS[1], 'r', ARGV[1], 'e', ARGV[2], 'o', ARGV[3], 'x', ARGV[4], 'k', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return { 'done' }
