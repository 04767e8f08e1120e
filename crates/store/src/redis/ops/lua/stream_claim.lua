-- Makes another replica the owner of a stream, if its owner is the one named.
-- KEYS: head, events. ARGV: replica and epoch of the owner named, replica, epoch and sealed owner of the new one.
local head = redis.call('HMGET', KEYS[1], 'r', 'e', 'o', 'k')
if not head[1] then
  return { 'unknown' }
end
local named = head[1] == ARGV[1] and head[2] == ARGV[2]
local done = head[1] == ARGV[3] and head[2] == ARGV[4]
if not (named or done) then
  return { 'lost', head[1], head[2], head[3] }
end
redis.call('HSET', KEYS[1], 'r', ARGV[3], 'e', ARGV[4], 'o', ARGV[5])
redis.call('PEXPIRE', KEYS[1], head[4])
redis.call('PEXPIRE', KEYS[2], head[4])
return { 'done' }
