-- Opens a stream, or takes it from an earlier owner. Returns the owner that fences it off, if there is one.
-- KEYS: head, events. ARGV: replica, epoch, sealed owner, sealed meta, milliseconds to live, a sealed owner to be taken for none.
-- Head: r replica, e epoch, o sealed owner, m sealed meta, k milliseconds to live, f first kept, l last, w epoch of the last's writer,
-- b bytes.
local head = redis.call('HMGET', KEYS[1], 'r', 'e', 'o')
if head[1] and head[3] ~= ARGV[6] then
  local epoch, mine = tonumber(head[2]) or 0, tonumber(ARGV[2])
  if epoch > mine or (epoch == mine and head[1] ~= ARGV[1]) then
    return head
  end
else
  redis.call('DEL', KEYS[1], KEYS[2])
end
redis.call('HSET', KEYS[1], 'r', ARGV[1], 'e', ARGV[2], 'o', ARGV[3], 'm', ARGV[4], 'k', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return {}
