-- Appends one event for its owner.
-- KEYS: head, events. ARGV: replica, epoch, sealed owner, sequence, sequence that it follows or '', sealed event, most events, most bytes.
-- An event's id is "<sequence>-1", because 0-0 is no id.
local head = redis.call('HMGET', KEYS[1], 'r', 'e', 'o', 'k', 'f', 'l', 'b', 'w')
if not head[1] then
  return { 'unknown' }
end
local epoch, mine = tonumber(head[2]) or 0, tonumber(ARGV[2])
if epoch > mine or (epoch == mine and head[1] ~= ARGV[1]) then
  return { 'fenced', head[1], head[2], head[3] }
end
local sequence, last = tonumber(ARGV[4]), tonumber(head[6] or '')
if last and last >= sequence then
  if last == sequence and head[8] == ARGV[2] and epoch == mine then
    return { 'done' }
  end
  return { 'stale', head[6] }
end
local first, bytes = head[5] or '0', tonumber(head[7] or '0') or 0
if ARGV[5] ~= (head[6] or '') then
  local follows = tonumber(ARGV[5])
  local from = '-'
  if follows and last and last > follows then
    from = '(' .. ARGV[5] .. '-1'
  elseif follows then
    first = string.format('%.0f', follows + 1)
  end
  for _, gone in ipairs(redis.call('XRANGE', KEYS[2], from, '+')) do
    bytes = bytes - #gone[2][2]
    redis.call('XDEL', KEYS[2], gone[1])
  end
end
redis.call('XADD', KEYS[2], ARGV[4] .. '-1', 'v', ARGV[6])
bytes = bytes + #ARGV[6]
local count, most = redis.call('XLEN', KEYS[2]), math.max(1, tonumber(ARGV[7]))
while count > most or (bytes > tonumber(ARGV[8]) and count > 1) do
  local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  redis.call('XDEL', KEYS[2], oldest[1])
  bytes, count = bytes - #oldest[2][2], count - 1
  first = string.format('%.0f', tonumber(string.match(oldest[1], '^%d+')) + 1)
end
redis.call('HSET', KEYS[1], 'r', ARGV[1], 'e', ARGV[2], 'o', epoch < mine and ARGV[3] or head[3],
  'f', first, 'l', ARGV[4], 'w', ARGV[2], 'b', string.format('%.0f', bytes))
redis.call('PEXPIRE', KEYS[1], head[4])
redis.call('PEXPIRE', KEYS[2], head[4])
return { 'done' }
