-- Renews a replica's share of a quota. The rule is that of memory/quota.rs.
-- KEYS: ledger. ARGV: replica, demand, share that it uses now, total, milliseconds to live, reserve in thousandths.
-- A lease: "<what it may use> <demand> <end in milliseconds since 1970>".
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local demand, held, total, life = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local taken, demands, replicas = 0, demand, 1
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] ~= ARGV[1] then
    local counted, wanted, ends = string.match(all[i + 1], '^(%d+) (%d+) (%d+)$')
    if ends and tonumber(ends) > now then
      taken, demands, replicas = taken + counted, demands + wanted, replicas + 1
    else
      redis.call('HDEL', KEYS[1], all[i])
    end
  end
end
local reserve = math.floor(total * tonumber(ARGV[6]) / 1000)
local given = total - reserve
local share
if demands == 0 then
  share = math.floor(given / replicas)
else
  share = math.floor(given * (demand / demands))
end
share = math.max(0, math.min(share + math.floor(reserve / (replicas + 1)), total - taken))
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %.0f %.0f', math.max(share, held), demand, now + life))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return string.format('%.0f', share)
