-- A page of a log.
-- KEYS: head, events. ARGV: first sequence wanted, most events, most bytes.
-- Returns r, e, o, m, f, l of the head, whether there is more, and id and sealed event in turn.
local head = redis.call('HMGET', KEYS[1], 'r', 'e', 'o', 'm', 'f', 'l')
if not head[1] then
  return false
end
local page = {}
for i = 1, 6 do
  page[i] = head[i] or ''
end
local most, bytes, taken, more = tonumber(ARGV[2]), 0, 0, 0
for _, event in ipairs(redis.call('XRANGE', KEYS[2], ARGV[1] .. '-1', '+', 'COUNT', most + 1)) do
  bytes = bytes + #event[2][2]
  if taken == most or (taken > 0 and bytes > tonumber(ARGV[3])) then
    more = 1
    break
  end
  taken = taken + 1
  page[7 + 2 * taken - 1], page[7 + 2 * taken] = event[1], event[2][2]
end
page[7] = more
return page
