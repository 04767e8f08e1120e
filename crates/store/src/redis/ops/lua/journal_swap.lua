-- Replaces the entry unless it has the same or a later epoch; then it is returned.
-- KEYS: entry. ARGV: epoch, sealed value, milliseconds to live, an entry to be taken for none.
-- Stored: "<epoch> <sealed value>".
local known = redis.call('GET', KEYS[1])
if known and known ~= ARGV[4] then
  local epoch = tonumber(string.match(known, '^(%d+) '))
  if epoch and epoch >= tonumber(ARGV[1]) then
    return known
  end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return false
